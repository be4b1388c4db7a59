"""Our models in open_clip's form, used by open_clip and clip_benchmark themselves."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import imagebind
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.integrations import open_clip as ours
from imagebind.integrations.clip_benchmark import load
from imagebind.toyworld import World, caption, class_prompts, render_image
from imagebind.zeroshot import build_zero_shot_classifier

TINY = "imagebind_tiny"


@pytest.fixture(scope="module")
def tiny():
    return ours.create_model_from_pretrained(TINY)


@pytest.fixture(scope="module")
def tiny_embedder():
    return Embedder(imagebind.imagebind_tiny(True, modalities=["vision", "text"]))


@pytest.fixture(scope="module")
def scenes():
    world = World(seed=4)
    return [world.scene(number) for number in range(12)]


@pytest.fixture
def clip_benchmark(monkeypatch):
    """Return clip_benchmark's `models`, with our loader registered for one test."""
    pytest.importorskip("clip_benchmark", reason="needs clip-benchmark")
    from clip_benchmark import models

    monkeypatch.setitem(models.TYPE2FUNC, "imagebind", load)
    monkeypatch.setattr(models, "MODEL_TYPES", [*models.MODEL_TYPES, "imagebind"])
    return models


def test_images_and_texts_have_the_embeddings_of_the_embedder(tiny, tiny_embedder, image_file):
    model, preprocess = tiny
    with Image.open(image_file) as image:
        pixels = preprocess(image)
    assert pixels.shape == (3, 224, 224)
    tokens = ours.get_tokenizer(TINY)(["a dog", "a red cube"])
    with torch.inference_mode():
        images, texts = model.encode_image(pixels[None]), model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(images[0].numpy(), tiny_embedder.encode(image_file))
    torch.testing.assert_close(texts.numpy(), tiny_embedder.encode(["a dog", "a red cube"]))


def test_texts_that_are_not_normalised_are_scaled_by_the_logit_scale(tiny):
    model, _ = tiny
    with torch.inference_mode():
        (text,) = model.encode_text(ours.get_tokenizer()("a dog"))
    torch.testing.assert_close(text.norm(), model.logit_scale.exp())


def test_forward_returns_unit_vectors_and_the_scale_as_open_clip_does(tiny):
    model, _ = tiny
    tokens = ours.get_tokenizer()("a dog")
    with torch.inference_mode():
        images, texts, scale = model(torch.zeros(2, 3, 224, 224), tokens)
        missing, _, _ = model(text=tokens)
    assert images.shape == (2, 128) and texts.shape == (1, 128) and missing is None
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(1))
    assert scale == model.logit_scale.exp() and isinstance(model.logit_scale, torch.nn.Parameter)


def test_the_scale_of_forward_is_the_clamped_one_of_the_embeddings():
    model = ours.create_model_from_pretrained(TINY, return_transform=False)
    tokens = ours.get_tokenizer()("a dog")
    with torch.inference_mode():
        model.logit_scale.fill_(10)  # e^10 = 22,026
        _, _, scale = model(text=tokens)
        (text,) = model.encode_text(tokens)
    torch.testing.assert_close(text.norm(), scale)
    assert scale == 100


@pytest.mark.parametrize("texts", ["a dog", ["a dog", "a red cube"]])
def test_the_tokenizer_returns_the_tokens_of_open_clips(texts):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip_torch")
    tokens = ours.get_tokenizer()(texts)
    assert tokens.dtype == torch.long
    assert torch.equal(tokens, open_clip.get_tokenizer("ViT-B-32")(texts))
    assert ours.get_tokenizer(context_length=16)(texts).shape[1] == 16


@pytest.mark.parametrize(
    "name", ["create_model_and_transforms", "create_model_from_pretrained", "get_tokenizer"]
)
def test_parameters_have_open_clips_names_and_defaults(name):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip_torch")
    theirs = inspect.signature(getattr(open_clip, name)).parameters
    for parameter in inspect.signature(getattr(ours, name)).parameters.values():
        assert parameter.name in theirs
        if parameter.name not in ("model_name", "pretrained"):  # ours have useful defaults
            assert parameter.default == theirs[parameter.name].default


def test_the_image_transform_equals_the_one_that_open_clip_builds_for_the_model(tiny, image_file):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip_torch")
    model, preprocess = tiny
    from open_clip.transform import PreprocessCfg, image_transform_v2

    theirs = image_transform_v2(PreprocessCfg(**open_clip.get_model_preprocess_cfg(model)), is_train=False)
    with Image.open(image_file) as image:
        torch.testing.assert_close(preprocess(image), theirs(image))
    assert open_clip.get_model_tokenize_cfg(model) == {"context_length": 77, "vocab_size": 49408}


def test_the_training_transform_crops_at_random(image_file):
    model, train, evaluation = ours.create_model_and_transforms(TINY, pretrained=None)
    torch.manual_seed(0)
    with Image.open(image_file) as image:
        first, second, fixed = train(image), train(image), evaluation(image)
    assert first.shape == second.shape == fixed.shape == (3, 224, 224)
    assert not torch.equal(first, second)
    assert model.training  # new weights


def test_open_clips_zero_shot_classifier_equals_ours(tiny, tiny_embedder):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip_torch")
    model, _ = tiny
    tokenizer, names = ours.get_tokenizer(TINY), ["cube", "sphere", "cone"]
    templates = ["a photo of a {}.", "a red {}."]
    theirs = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)
    for built in (model, tiny_embedder.model):  # ours takes models of both forms
        torch.testing.assert_close(theirs, build_zero_shot_classifier(built, tokenizer, names, templates))


class Images(torch.utils.data.Dataset):
    """Rendered scenes with a target each, as torchvision's data sets."""

    def __init__(self, scenes, targets, transform):
        self.scenes, self.targets, self.transform = scenes, targets, transform

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(render_image(self.scenes[index]))), self.targets[index]


@pytest.mark.parametrize("amp", [False, True])
def test_clip_benchmark_classifies_images_by_its_own_code(clip_benchmark, scenes, amp):
    from clip_benchmark.metrics import zeroshot_classification

    model, transform, tokenizer = clip_benchmark.load_clip("imagebind", TINY, "default", None, "cpu")
    prompts = {name: list(texts) for name, texts in class_prompts("shape").items()}
    shapes = [list(prompts).index(scene.attributes["shape"]) for scene in scenes]
    images = DataLoader(Images(scenes, shapes, transform), 8)
    # Its `evaluate` adds metrics that fail with NumPy 2.4 or later, whatever the model.
    classifier = zeroshot_classification.zero_shot_classifier(
        model, tokenizer, list(prompts), prompts, "cpu", amp=amp
    )
    logits, targets = zeroshot_classification.run_classification(model, classifier, images, "cpu", amp=amp)
    accuracy = (logits.argmax(dim=1) == targets).float().mean()
    assert accuracy > 0.8  # chance is 0.125


def test_clip_benchmark_retrieves_captions_by_its_own_code(clip_benchmark, scenes):
    from clip_benchmark.metrics import zeroshot_retrieval

    model, transform, tokenizer = clip_benchmark.load_clip("imagebind", TINY, "default", None, "cpu")
    rng = np.random.default_rng(0)
    images = Images(scenes, [[caption(scene, rng, still=True)] for scene in scenes], transform)

    def collate(samples):
        return torch.stack([pixels for pixels, _ in samples]), [texts for _, texts in samples]

    loader = DataLoader(images, 8, collate_fn=collate)
    metrics = zeroshot_retrieval.evaluate(model, loader, tokenizer, "cpu", amp=False, recall_k_list=[5])
    assert min(metrics.values()) > 0.8  # chance is 5 / 12


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("pure_fp16", torch.float16), ("amp", torch.float32)]
)
def test_precision_is_the_type_of_the_weights(precision, dtype):
    model = ours.create_model_from_pretrained(TINY, precision=precision, return_transform=False)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert model.model.modalities == ("vision", "text") and not model.training


def test_a_saved_model_is_loaded_by_its_folder(tmp_path, tiny, tiny_embedder):
    imagebind.save_model(tiny_embedder.model, tmp_path)
    model, _ = ours.create_model_from_pretrained(tmp_path)
    for name, weights in tiny[0].state_dict().items():
        assert torch.equal(model.state_dict()[name], weights)


def test_an_unknown_precision_name_or_weights_raise_an_error():
    with pytest.raises(ValueError, match=r"precision: expected one of fp32, .*, got 'int8'"):
        ours.create_model_and_transforms(TINY, precision="int8")
    with pytest.raises(
        ValueError, match="pretrained: expected 'default' or None for imagebind_tiny, got 'openai'"
    ):
        ours.create_model_and_transforms(TINY, "openai")
    with pytest.raises(ValueError, match="pretrained: expected weights, such as 'default', got None"):
        ours.create_model_from_pretrained(TINY, None)
    with pytest.raises(CheckpointError, match="ViT-B-32"):
        ours.create_model_and_transforms("ViT-B-32")


def test_a_model_without_text_raises_an_error():
    with pytest.raises(ValueError, match="model: expected vision and text, got vision, audio"):
        ours.OpenClipModel(imagebind.imagebind_tiny(modalities=["vision", "audio"]))
