"""Tests of zero-shot classification: open_clip's results, examples computed by hand, the small model."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import imagebind as library
from imagebind.embedder import Embedder
from imagebind.metrics import top_k_accuracy
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.prompts import OPENAI_IMAGENET_TEMPLATES, SHORT_TEMPLATES
from imagebind.toyworld import ATTRIBUTES, World, world_transforms, write_scene
from imagebind.toyworld.captions import WORDS
from imagebind.transforms.text import Tokenizer
from imagebind.zeroshot import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    build_zero_shot_classifier,
    class_groups,
    class_probabilities,
    class_scores,
    default_temperature,
    expected_calibration_error,
    fit_temperature,
)
from tests.reference import small_config

NAMES = ["dog", "cat", "bird", "car", "house"]
TEMPLATES = ["a photo of a {}.", "the {}", "{}"]
SCENES = 40
SEED = 79  # of scenes that were used neither for training nor for evaluation


class Tower:
    """A text tower with open_clip's interface: the embedding is the mean of random vectors of letters."""

    def __init__(self) -> None:
        self.letters = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))
        self.batches: list[int] = []

    def encode_text(self, tokens: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        self.batches.append(len(tokens))
        means = self.letters[tokens].mean(dim=1)
        return F.normalize(means, dim=-1) if normalize else means


def letters(texts: list[str]) -> torch.Tensor:
    return torch.tensor([list(text.ljust(40).encode()) for text in texts])


@pytest.fixture(scope="module")
def tiny():
    return library.imagebind_tiny(pretrained=True)


@pytest.mark.parametrize("per_batch", [1, 2, 10, None])
def test_the_classifier_equals_open_clips(per_batch):
    theirs = pytest.importorskip("open_clip").build_zero_shot_classifier
    functions = [lambda name: f"a photo of a {name}.", lambda name: f"the {name}", lambda name: name]
    expected = theirs(Tower(), letters, NAMES, TEMPLATES, num_classes_per_batch=per_batch)
    for templates in (TEMPLATES, functions):
        got = build_zero_shot_classifier(Tower(), letters, NAMES, templates, per_batch)
        assert got.shape == (16, 5)
        torch.testing.assert_close(got, expected)


def test_all_templates_have_equal_weight_for_embeddings_of_any_length(tiny):
    tokens = Tokenizer()([template.format("dog") for template in TEMPLATES])
    with torch.no_grad():
        raw = tiny({"text": tokens})["text"]
    column = build_zero_shot_classifier(tiny, Tokenizer(), ["dog"], TEMPLATES)[:, 0]
    assert raw.norm(dim=1).mean() > 10  # scaled, as released
    torch.testing.assert_close(column, F.normalize(F.normalize(raw, dim=1).mean(dim=0), dim=0))
    assert not column.requires_grad and column.dtype == torch.float32


def test_a_model_in_training_mode_is_evaluated_and_then_set_back():
    model = library.imagebind_tiny(pretrained=True, modalities=["text"])
    build = partial(build_zero_shot_classifier, model, Tokenizer(), NAMES, TEMPLATES)
    expected = build()
    for block in model.modality_trunks["text"].blocks:
        block.drop_path = nn.Dropout(0.5)
    model.train()
    torch.testing.assert_close(build(), expected)
    assert all(module.training for module in model.modules())


def test_texts_are_embedded_in_batches_of_classes_with_a_progress_bar(capsys):
    model = Tower()
    build_zero_shot_classifier(model, letters, NAMES, TEMPLATES, num_classes_per_batch=2, use_tqdm=True)
    assert model.batches == [6, 6, 3] and "Class names" in capsys.readouterr().err


def test_each_name_has_a_column_and_the_maximum_is_the_score_of_the_class():
    classes = [("dog", "puppy"), "cat", ["bird"]]
    classifier = build_zero_shot_classifier(Tower(), letters, classes, TEMPLATES)
    flat = build_zero_shot_classifier(Tower(), letters, ["dog", "puppy", "cat", "bird"], TEMPLATES)
    torch.testing.assert_close(classifier, flat)
    groups = class_groups(classes)
    assert groups.tolist() == [0, 0, 1, 2]
    one_hot = torch.tensor([[0.6, 0.8, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]])
    scores = class_scores(one_hot, torch.eye(4), groups)
    torch.testing.assert_close(scores, torch.tensor([[0.8, 0, 0], [1, 0, 0], [0, -1, 0]]))


def test_class_numbers_may_be_unsigned_integers():
    groups = np.array([0, 1], dtype=np.uint16)
    torch.testing.assert_close(class_scores(torch.eye(2), torch.eye(2), groups), torch.eye(2))
    assert expected_calibration_error(torch.eye(2), groups) == 0


def test_scores_are_cosine_similarities():
    scores = class_scores(np.array([[3.0, 4.0]]), np.array([[10.0, 0.0], [0.0, 0.5]]))
    torch.testing.assert_close(scores, torch.tensor([[0.6, 0.8]]))


def test_an_item_without_an_embedding_has_nan_scores():
    scores = class_scores(torch.full((1, 2), torch.nan), torch.eye(2), torch.tensor([0, 0]))
    assert scores.isnan().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_zero_shot_classifier(Tower(), letters, [], TEMPLATES), "classnames: expected"),
        (
            lambda: build_zero_shot_classifier(Tower(), letters, "dog", TEMPLATES),
            "classnames: expected .*'dog'",
        ),
        (
            lambda: build_zero_shot_classifier(Tower(), letters, ["dog", ()], TEMPLATES),
            "class 1: expected a name",
        ),
        (lambda: build_zero_shot_classifier(Tower(), letters, NAMES, []), "templates: expected"),
        (
            lambda: build_zero_shot_classifier(Tower(), letters, NAMES, "a {}"),
            "templates: expected .*'a {}'",
        ),
        (lambda: build_zero_shot_classifier(Tower(), letters, NAMES, ["a photo"]), "once.*'a photo'"),
        (
            lambda: build_zero_shot_classifier(Tower(), letters, NAMES, TEMPLATES, 0),
            "num_classes_per_batch",
        ),
        (lambda: class_scores(torch.ones(2, 3), torch.eye(4)), r"\(2, 3\) and \(4, 4\)"),
        (lambda: build_zero_shot_classifier(Tower(), letters, ["dog", 7], TEMPLATES), "class 1: .*got 7"),
        (
            lambda: build_zero_shot_classifier(Tower(), letters, NAMES, TEMPLATES, 1.5),
            "num_classes_per_batch: expected a whole number of at least 1, got 1.5",
        ),
        (lambda: class_scores(None, torch.eye(2)), "embeddings: expected numbers, got None"),
        (lambda: class_scores(torch.ones(1, 2), torch.eye(2), [0.0, 1.0]), "groups: expected class numbers"),
        (lambda: class_scores(torch.ones(1, 2), torch.eye(2), [0]), "each of 2 columns"),
        (lambda: class_scores(torch.ones(1, 2), torch.eye(2), [0, 2]), r"without gaps, got \[0, 2\]"),
        (
            lambda: class_probabilities(torch.eye(2), 0),
            "temperature: expected a positive, finite number, got 0",
        ),
        (lambda: fit_temperature(torch.eye(2), [0, 2]), "labels: expected 0 to 1, got 2 in row 1"),
        (lambda: fit_temperature(torch.eye(2), [0]), r"got \(2, 2\) and \(1,\)"),
        (lambda: fit_temperature(torch.eye(2), [0.0, 1.0]), "class numbers, got torch.float32"),
        (lambda: fit_temperature(torch.tensor([[0, 1], [math.nan, 1]]), [0, 1]), "finite.*row 1"),
        (lambda: fit_temperature(torch.eye(2), ["a", "b"]), r"labels: expected numbers, got \['a', 'b'\]"),
        (lambda: expected_calibration_error(5 * torch.eye(2), [0, 1]), "0 to 1, got 0 to 5"),
        (lambda: expected_calibration_error(torch.eye(2), [0, 1], bins=2.5), "bins: .*got 2.5"),
    ],
)
def test_invalid_arguments_raise_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_probabilities_equal_an_example_computed_by_hand():
    got = class_probabilities(torch.tensor([[0.3, 0.1]]), temperature=0.2)
    assert got[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))  # (0.3 - 0.1) / 0.2


def test_the_fitted_temperature_equals_an_example_computed_by_hand():
    # Three of four are correct by 0.2, so the likelihood is highest where e^(0.2 / t) = 3.
    scores = torch.tensor([[0.2, 0.0]] * 4)
    assert fit_temperature(scores, [0, 0, 0, 1]) == pytest.approx(0.2 / math.log(3), rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.02, 0.5))
def test_a_slightly_different_temperature_has_no_higher_likelihood(seed, true):
    rng = torch.Generator().manual_seed(seed)
    scores = torch.rand(60, 4, generator=rng)
    labels = (scores / true).softmax(dim=1).multinomial(1, generator=rng)[:, 0]
    best = fit_temperature(scores, labels)
    assert MIN_TEMPERATURE <= best <= MAX_TEMPERATURE
    loss = {factor: F.cross_entropy(scores.double() / (best * factor), labels) for factor in (0.9, 1, 1.1)}
    if MIN_TEMPERATURE < best < MAX_TEMPERATURE:
        assert loss[1] <= min(loss.values())


def test_the_temperature_of_sampled_labels_is_recovered():
    rng = torch.Generator().manual_seed(1)
    scores = torch.rand(20_000, 5, generator=rng)
    labels = (scores / 0.15).softmax(dim=1).multinomial(1, generator=rng)[:, 0]
    assert fit_temperature(scores, labels) == pytest.approx(0.15, rel=0.03)


def test_all_correct_and_all_wrong_labels_give_the_bounds():
    scores = torch.tensor([[0.5, 0.1], [0.1, 0.5]])
    assert fit_temperature(scores, [0, 1]) == MIN_TEMPERATURE
    assert fit_temperature(scores, [1, 0]) == MAX_TEMPERATURE


def test_the_calibration_error_equals_an_example_computed_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.55, 0.45]])
    # Of five bins, (0.8, 1] has confidence 0.9 and accuracy 0.5; (0.4, 0.6] has 0.575 and 1.
    expected = (2 * 0.4 + 2 * 0.425) / 4
    assert expected_calibration_error(probabilities, [0, 1, 1, 0], bins=5) == pytest.approx(
        expected, abs=1e-6
    )


def test_the_calibration_error_is_0_if_certain_and_correct_and_1_if_certain_and_wrong():
    assert expected_calibration_error(torch.eye(3), [0, 1, 2]) == 0
    assert expected_calibration_error(torch.eye(3), [1, 2, 0]) == 1


def test_the_default_temperature_is_between_those_of_a_modality_and_of_text():
    model = ImageBindModel(small_config())
    stored = {name: scale for name, scale in model.state_dict().items() if "log_logit_scale" in name}
    scales = {"text": 150.0, "audio": 20.0, "depth": 5.0, "thermal": 10.0, "imu": 5.0}  # as released
    assert len(stored) == 5
    for modality, scale in scales.items():
        stored[f"modality_postprocessors.{modality}.1.log_logit_scale"].fill_(math.log(scale))
    expected = {"vision": 0.01, "text": 0.01, "audio": 0.05, "depth": 0.2, "thermal": 0.1, "imu": 0.2}
    for modality, temperature in expected.items():
        mean = math.sqrt(0.01 * temperature)  # text's is clipped at 100
        assert default_temperature(model, modality) == pytest.approx(mean, rel=1e-5)


def test_a_model_without_text_has_no_default_temperature():
    model = ImageBindModel(small_config(), modalities=["audio"], device="meta")
    with pytest.raises(ValueError, match=r"text\.1\.log_logit_scale, got one without"):
        default_temperature(model, ModalityType.AUDIO)


@pytest.fixture(scope="module")
def world(tiny, tmp_path_factory):
    """Return the scenes' shapes, and their embeddings from files in three modalities: (n, e)."""
    folder = tmp_path_factory.mktemp("scenes")
    drawn = World(seed=SEED, held_out=True)
    scenes = [drawn.scene(number) for number in range(SCENES)]
    files = [write_scene(scene, folder / str(number)) for number, scene in enumerate(scenes)]
    embedder = Embedder(tiny, transforms=world_transforms(), num_workers=2)
    labels = torch.tensor([list(ATTRIBUTES["shape"]).index(scene.shape.value) for scene in scenes])
    kinds = ("image", "audio", "depth")
    return labels, {kind: embedder.encode([{kind: each[kind]} for each in files]) for kind in kinds}


@pytest.mark.parametrize("kind", ["image", "audio", "depth"])
@pytest.mark.parametrize("templates", ["CLIP's", "short"])
def test_shapes_are_recognised_in_images_audio_and_depth(tiny, world, kind, templates):
    labels, vectors = world
    chosen = OPENAI_IMAGENET_TEMPLATES if templates == "CLIP's" else SHORT_TEMPLATES[MediaKind(kind)]
    names = [WORDS["shape"][shape] for shape in ATTRIBUTES["shape"]]  # ("disc", "circle", "round plate"), …
    classifier = build_zero_shot_classifier(tiny, Tokenizer(), names, chosen)
    scores = class_scores(vectors[kind], classifier, class_groups(names))
    assert top_k_accuracy(scores, labels) >= 0.8  # the model card has 0.95 and more; by chance 0.125
    probabilities = class_probabilities(scores, default_temperature(tiny, MediaKind(kind).modality))
    assert expected_calibration_error(probabilities, labels) < 0.15  # at temperature 1 it is above 0.7
    assert expected_calibration_error(class_probabilities(scores, 1.0), labels) > 0.6


@pytest.fixture(scope="module")
def scene_files(tmp_path_factory):
    """Images of scenes, and the shape of each."""
    folder, world = tmp_path_factory.mktemp("scenes"), World(seed=SEED)
    scenes = [world.scene(number) for number in range(8)]
    for number, scene in enumerate(scenes):
        write_scene(scene, folder / str(number))
    return [folder / str(number) / "image.png" for number in range(8)], [each.shape.value for each in scenes]


def test_a_classifier_predicts_labels_with_probabilities_of_files(scene_files):
    files, shapes = scene_files
    embedder = Embedder("imagebind_tiny", device="cpu")
    classes = [WORDS["shape"][shape] for shape in ATTRIBUTES["shape"]]
    classifier = library.ZeroShotClassifier(embedder, classes)
    labels, probabilities = classifier.predict(files)
    assert np.mean([label == shape for label, shape in zip(labels, shapes, strict=True)]) >= 0.75
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    scores = classifier.scores(files)
    assert scores.shape == probabilities.shape == (len(files), len(classes))
    expected = class_probabilities(scores, default_temperature(embedder.model, ModalityType.VISION))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_classifier_fits_its_temperature_to_labels_or_class_numbers(scene_files):
    files, shapes = scene_files
    names = sorted({*shapes, "bar"})
    classifier = library.ZeroShotClassifier(Embedder("imagebind_tiny", device="cpu"), names)
    fitted = classifier.fit_temperature(files, shapes)
    assert (
        fitted
        == classifier.temperature
        == fit_temperature(classifier.scores(files), torch.tensor([names.index(shape) for shape in shapes]))
    )
    assert classifier.fit_temperature(files, [names.index(shape) for shape in shapes]) == fitted
    with pytest.raises(ValueError, match=r"labels: expected some of .*, got 'whale'"):
        classifier.fit_temperature(files[:1], ["whale"])


def test_a_classifier_refuses_invalid_arguments_and_names_a_file_that_cannot_be_read(tmp_path):
    embedder = Embedder("imagebind_tiny", device="cpu")
    with pytest.raises(ValueError, match="templates: expected a sequence"):
        library.ZeroShotClassifier(embedder, ["dog", "cat"], templates="a {}")
    with pytest.raises(ValueError, match="once, in place of the class name, got 'a photo'"):
        library.ZeroShotClassifier(embedder, ["dog", "cat"], templates=["a photo"])
    with pytest.raises(ValueError, match="temperature: expected a positive, finite number"):
        library.ZeroShotClassifier(embedder, ["dog", "cat"], temperature=0)
    with pytest.raises(library.MediaError, match=r"gone\.png"):
        library.ZeroShotClassifier(embedder, ["dog", "cat"]).predict([tmp_path / "gone.png"])
    assert library.ZeroShotClassifier(embedder, ["dog", "cat"]).predict([])[1].shape == (0, 2)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_classifier_on_cuda_gives_the_scores_and_labels_of_the_cpu(scene_files):
    files, shapes = scene_files
    names = sorted(set(shapes))
    on_cpu, on_cuda = (
        library.ZeroShotClassifier(Embedder("imagebind_tiny", device=device), names)
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_cuda.scores(files).cpu(), on_cpu.scores(files), atol=2e-3)
    assert on_cuda.predict(files)[0] == on_cpu.predict(files)[0]
    assert on_cuda.fit_temperature(files, shapes) > 0
