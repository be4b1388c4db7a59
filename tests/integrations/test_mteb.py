"""Our models in mteb: the encoder, and mteb's own tasks run with it."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import imagebind
from imagebind.embedder import Embedder
from imagebind.errors import MediaError, MissingExtraError
from imagebind.metrics import recall_at_k
from imagebind.toyworld import World, caption, render_image

TASK = {"task_metadata": None, "hf_split": "test", "hf_subset": "default", "show_progress_bar": False}
# One task for each combination of media types. Those with audio or video need torchcodec, as `datasets` does.
MOCK_TASKS = {
    "text": "MockSTSTask",
    "text, retrieval": "MockRetrievalTask",
    "image": "MockPairImageClassificationTask",
    "image and text": "MockZeroShotClassificationTask",
    "audio": "MockAny2AnyRetrievalA2ATask",
    "audio and text": "MockAudioZeroshotClassificationTask",
    "video": "MockVideoPairClassificationTask",
    "video and text": "MockVideoRetrievalT2V",
    "video with audio": "MockVideoAudioRetrievalT2VA",
    "video with audio and text": "MockVideoAudioTextRetrievalVAT2T",
}


@pytest.fixture(scope="module")
def ours() -> ModuleType:
    return pytest.importorskip(
        "imagebind.integrations.mteb", reason="needs the extra mteb", exc_type=ImportError
    )


@pytest.fixture(scope="module")
def mteb(ours) -> ModuleType:
    return ours.mteb


@pytest.fixture(scope="module")
def encoder(ours):
    return ours.load("imagebind/imagebind_tiny", device="cpu")


def need_codecs() -> None:
    """Skip a test without the packages by which `datasets` and mteb decode audio and video."""
    for package in ("torchaudio", "torchcodec"):
        pytest.importorskip(package, reason=f"needs {package}", exc_type=ImportError)


def test_items_have_the_embeddings_of_the_embedder(encoder, image_file, audio_file, video_file):
    with Image.open(image_file) as image:
        image.load()
    samples = np.sin(np.arange(24_000) / 9).astype(np.float32)
    batches = [
        {"text": ["a dog", "a red cube"], "id": ["1", "2"]},
        {"image": [image]},
        {"audio": [{"array": samples, "sampling_rate": 16_000}]},
        {"audio": [audio_file]},
        {"video": [video_file]},
    ]
    expected = encoder.model.encode(
        ["a dog", "a red cube", image_file, {"audio": samples, "rate": 16_000}, audio_file, video_file]
    )
    torch.testing.assert_close(encoder.encode(batches, **TASK), expected)


def test_a_row_of_several_media_types_has_the_normalised_sum_of_those_that_it_has(encoder, image_file):
    with Image.open(image_file) as image:
        rows = encoder.encode([{"text": ["a dog", "a cat"], "image": [image, None]}], **TASK)
    dog, cat, image = encoder.model.encode(["a dog", "a cat", image_file])
    torch.testing.assert_close(rows, np.stack([(dog + image) / np.linalg.norm(dog + image), cat]))


def test_no_inputs_give_no_rows(encoder):
    assert encoder.encode([], **TASK).shape == (0, 128)


@pytest.mark.parametrize("inputs", MOCK_TASKS)
def test_mock_tasks_of_mteb_run_with_each_media_type(mteb, encoder, inputs):
    if "audio" in inputs or "video" in inputs:
        need_codecs()
    import mteb.mocks.mock_tasks

    task = getattr(mteb.mocks.mock_tasks, MOCK_TASKS[inputs])()
    (result,) = mteb.evaluate(encoder, task, cache=None, show_progress_bar=False).task_results
    assert np.isfinite(result.get_score())


@pytest.mark.huge
def test_all_mock_tasks_of_our_media_types_pass(mteb, encoder):
    need_codecs()
    results = [result for _, result in mteb.mock_run(encoder).items() if result is not None]
    assert len(results) >= 60
    assert [result for result in results if isinstance(result, mteb.results.task_result.TaskError)] == []


def toy_task(mteb, scenes):
    """Return a task that retrieves rendered images by their captions, from memory."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    rng = np.random.default_rng(0)
    numbers = [str(number) for number in range(len(scenes))]
    images = [Image.fromarray(render_image(scene)) for scene in scenes]
    split = {
        "queries": Dataset.from_dict(
            {"id": numbers, "text": [caption(scene, rng, still=True) for scene in scenes]}
        ),
        "corpus": Dataset.from_dict({"id": numbers, "image": images}),
        "relevant_docs": {number: {number: 1} for number in numbers},
        "top_ranked": None,
    }

    class ToyWorldRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="ToyWorldRetrieval",
            type="Any2AnyRetrieval",
            description="Retrieve images by their captions.",
            main_score="hit_rate_at_1",
            category="t2i",
            modalities=["text", "image"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            dataset={"path": "memory", "revision": "1"},
        )

        def load_data(self, num_proc=None, **kwargs):
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return ToyWorldRetrieval()


def test_mteb_loads_the_named_model_and_gives_the_score_of_our_metric(ours, mteb, encoder):
    need_codecs()  # mteb checks the packages of all media types of a model before it loads it
    scenes = [World(seed=4).scene(number) for number in range(12)]
    task = toy_task(mteb, scenes)
    (result,) = mteb.evaluate(ours.imagebind_tiny, task, cache=None, show_progress_bar=False).task_results
    task.load_data()
    split = task.dataset["default"]["test"]
    texts, images = (
        encoder.model.encode(list(split[side][column]), convert_to_tensor=True)
        for side, column in (("queries", "text"), ("corpus", "image"))
    )
    assert result.get_score() == pytest.approx(recall_at_k(texts @ images.T, None, 1))
    assert result.get_score() > 0.5  # chance is 1 / 12


@pytest.mark.parametrize("name", imagebind.list_models())
def test_the_descriptions_of_the_named_models_are_correct(ours, name):
    meta = getattr(ours, name)
    model = getattr(imagebind, name)(modalities=ours.TRUNKS, device="meta")
    token_embedding = model.get_parameter("modality_preprocessors.text.token_embedding.weight")
    assert meta.name == f"imagebind/{name}" and meta.revision == imagebind.__version__
    assert meta.n_parameters == sum(weights.numel() for weights in model.parameters())
    assert meta.n_embedding_parameters == token_embedding.numel()
    assert meta.embed_dim == model.config.embed_dim
    assert meta.max_tokens == model.config.text.context_length
    assert meta.modalities == ["text", "image", "audio", "video"]


def test_the_revision_of_another_model_is_the_fingerprint_of_its_space(ours, encoder):
    changed = imagebind.imagebind_tiny(True, modalities=ours.TRUNKS)
    assert ours.model_meta(Embedder(changed)).revision == encoder.mteb_model_meta.revision
    torch.nn.init.ones_(next(changed.parameters()))
    assert ours.model_meta(Embedder(changed)).revision != encoder.mteb_model_meta.revision


def test_a_model_of_one_modality_ignores_the_others(ours):
    texts = ours.ImageBindEncoder(Embedder(imagebind.imagebind_tiny(True, modalities=["text"])))
    assert texts.mteb_model_meta.modalities == ["text"]
    assert texts.encode([{"text": ["a dog"], "image": ["not read"]}], **TASK).shape == (1, 128)
    with pytest.raises(ValueError, match="inputs: expected some of text, got image"):
        texts.encode([{"image": ["not read"]}], **TASK)


def test_a_row_without_any_media_type_raises_an_error(encoder):
    with pytest.raises(ValueError, match="row 1: expected some of image, audio, got none"):
        encoder.encode([{"image": [Image.new("RGB", (8, 8)), None], "audio": [None, None]}], **TASK)


def test_an_item_that_cannot_be_read_raises_an_error_that_names_it(encoder, tmp_path: Path):
    (tmp_path / "short.wav").write_bytes(b"RIFF")
    with pytest.raises(MediaError, match=r"short\.wav"):
        encoder.encode([{"audio": [tmp_path / "short.wav"]}], **TASK)


def test_without_mteb_the_error_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "imagebind.integrations.mteb", raising=False)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imagebind\[mteb\]'"):
        import imagebind.integrations.mteb  # noqa: F401
