"""Tests of few-shot classification: on texts with known answers, and on fixtures."""

import numpy as np
import pytest

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.evaluation.benchmark import Benchmark, FewShot, Task
from imagebind.evaluation.benchmarks import benchmark_named, list_benchmarks
from imagebind.evaluation.few_shot import few_shot
from imagebind.modality import MediaKind
from tests.evaluation.layouts_sensors import write_sun_world

TEXTS = ("a red disc", "a blue star")
TRAINING = FewShot(lr=1e-2, weight_decay=0.0, epochs=15)


def text_benchmark(*labelled: tuple[str, int, int]) -> Benchmark:
    """Return a benchmark of texts with class and fold."""
    items = [
        LabelledItem(item={"text": text}, name=f"text {number}", labels=(label,), fold=fold)
        for number, (text, label, fold) in enumerate(labelled)
    ]
    classes = [ClassNames(label=name, names=(name,)) for name in ("first", "second")]
    return Benchmark(
        name="texts",
        title="Texts",
        task=Task.CLASSIFICATION,
        media=MediaKind.TEXT,
        read=lambda root: LabelledSet(classes=classes, items=items),
        few_shot=TRAINING,
    )


@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs"])
def test_one_example_of_each_class_is_enough_for_equal_items(world_embedder, tmp_path, optimizer):
    labelled = [(TEXTS[number % 2], number % 2, number // 4) for number in range(8)]
    result = few_shot(text_benchmark(*labelled), world_embedder, tmp_path, shots=(1, 2), optimizer=optimizer)
    assert [figure.value for figure in result.figures.values()] == [100, 100]
    assert result.figures["2-shot"].chance == 50 and result.samples == 8 and result.metric == "2-shot"


def test_no_example_is_of_the_fold_that_is_tested(world_embedder, tmp_path):
    # The classes of the texts are exchanged in the second fold, so that examples of the other fold mislead.
    labelled = [(TEXTS[number % 2], (number + number // 4) % 2, number // 4) for number in range(8)]
    result = few_shot(text_benchmark(*labelled), world_embedder, tmp_path, shots=(1,))
    assert result.figures["1-shot"].value == 0


def test_a_class_with_fewer_examples_gives_all_that_it_has_and_a_note(world_embedder, tmp_path):
    labelled = [(TEXTS[number % 2], number % 2, number // 4) for number in range(8)]
    result = few_shot(text_benchmark(*labelled), world_embedder, tmp_path, shots=(2, 3))
    assert result.notes == ["3-shot: some classes have fewer training items, the smallest has 2"]
    assert result.figures["3-shot"].value == 100


def test_the_protocol_has_the_training_and_no_prompts(world_embedder, tmp_path):
    labelled = [(TEXTS[number % 2], number % 2, number // 4) for number in range(8)]
    result = few_shot(text_benchmark(*labelled), world_embedder, tmp_path, shots=(1,))
    recorded = {name: each.value for name, each in result.protocol.items()}
    assert recorded["lr"] == 1e-2 and recorded["epochs"] == 15 and recorded["seeds"] == [0, 1, 2]
    assert "templates" not in recorded and "names" not in recorded


def test_wrong_arguments_are_named(world_embedder, tmp_path):
    with pytest.raises(ValueError, match="benchmark: expected one with few-shot training, got 'llvip'"):
        few_shot("llvip", world_embedder, tmp_path)
    for shots in ((), (1, 0)):
        with pytest.raises(ValueError, match="shots: expected numbers of at least 1, got"):
            few_shot("esc50", world_embedder, tmp_path, shots=shots)
    with pytest.raises(ValueError, match="optimizer: expected adamw or lbfgs, got 'sgd'"):
        few_shot("esc50", world_embedder, tmp_path, optimizer="sgd")


def test_items_of_one_fold_and_no_seeds_are_refused_before_any_item_is_embedded(
    world_embedder, tmp_path, monkeypatch
):
    monkeypatch.setattr(type(world_embedder), "encode_stream", None)
    for fold in (0, None):
        benchmark = text_benchmark(*((text, label, fold) for label, text in enumerate(TEXTS)))
        with pytest.raises(ValueError, match="texts: expected items of two or more folds, got one"):
            few_shot(benchmark, world_embedder, tmp_path)
    with pytest.raises(ValueError, match="seeds: expected at least one, got none"):
        few_shot(benchmark, world_embedder, tmp_path, seeds=np.arange(0))


def test_the_training_is_that_of_the_paper():
    trainings = {name: benchmark_named(name).few_shot for name in list_benchmarks()}
    assert {name: training for name, training in trainings.items() if training is not None} == {
        "esc50": FewShot(lr=1.6e-3, weight_decay=0.05, epochs=50),
        "sun_rgbd": FewShot(lr=1e-2, weight_decay=0.0, epochs=60),
    }


@pytest.mark.huge
def test_the_small_model_learns_sun_rgbd_from_its_training_split(world_embedder, tmp_path):
    root = write_sun_world(tmp_path / "SUN RGB-D", 36, train=24, images=False)
    cache = tmp_path / "cache"
    result = few_shot("sun_rgbd", world_embedder, root, shots=(1, 4), cache=cache)
    assert result.samples == 12 and result.figures["4-shot"].chance == pytest.approx(100 / 19)
    assert result.figures["4-shot"].value >= 60 and result.figures["1-shot"].value >= 30
    assert result.protocol["weight_decay"].value == 0 and result.protocol["depth_preset"].value == "omnivore"
    paths = sorted(root.rglob("scene.txt"))
    scenes = np.random.default_rng(0).permutation([path.read_text() for path in paths])
    for path, scene in zip(paths, scenes, strict=True):
        path.write_text(scene)
    shuffled = few_shot("sun_rgbd", world_embedder, root, shots=(4,), cache=cache)
    assert shuffled.figures["4-shot"].value < 35
