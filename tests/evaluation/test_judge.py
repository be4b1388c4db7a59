"""The judge of generated images: its accuracy, and when it is trained."""

import numpy as np
import pytest
import torch

from imagebind.evaluation import judge as judging
from imagebind.evaluation.judge import Judge, judge_data, labels_of, train_judge, trained_judge
from imagebind.evaluation.result import EvaluationError
from imagebind.toyworld import World
from imagebind.toyworld.scene import ATTRIBUTES
from imagebind.toyworld.surface import PAINTS


def coloured(count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return images that have one colour of the toy world each, and labels; all shapes are class 0."""
    rng = np.random.default_rng(0)
    colours = rng.integers(len(PAINTS), size=count)
    images = np.array(list(PAINTS.values()))[colours][:, :, None, None] + rng.normal(0, 3, (count, 3, 64, 64))
    labels = {"shape": torch.zeros(count, dtype=torch.long), "colour": torch.from_numpy(colours)}
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), labels


def test_a_judge_learns_the_colours_of_its_images():
    images, labels = coloured(200)
    judge = train_judge(images, labels, epochs=4)
    assert judge.accuracies(images.float() / 255, labels)["colour"] > 0.9
    shuffled = {name: classes.roll(1) for name, classes in labels.items()}
    assert judge.accuracies(images.float() / 255, shuffled)["colour"] < 0.4


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="images: expected at least 50, got 49"):
        train_judge(*coloured(49), epochs=1)


def test_the_labels_are_those_of_the_scenes():
    world = World(seed=5)
    labels = labels_of(world, 3)
    names = [ATTRIBUTES["shape"][number] for number in labels["shape"]]
    assert names == [world.scene(number).shape.value for number in range(3)]


def test_a_judge_is_trained_once(tmp_path, monkeypatch):
    trainings = []

    def train(images, labels, *, epochs):
        trainings.append((len(images), epochs))
        return Judge().eval()

    monkeypatch.setattr(judging, "train_judge", train)
    first = trained_judge(tmp_path, scenes=4, epochs=1)
    again = trained_judge(tmp_path, scenes=4, epochs=1)
    assert trainings == [(4, 1)]
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(first(images)["shape"], again(images)["shape"])
    trained_judge(tmp_path, scenes=4, epochs=2)  # other settings
    (tmp_path / judging.JUDGE_NAME).write_bytes(b"damaged")
    trained_judge(tmp_path, scenes=4, epochs=2)
    assert len(trainings) == 3


@pytest.mark.huge
def test_the_judge_is_correct_on_new_renderings(judge_file, monkeypatch):
    judge = trained_judge(judge_file.parent)
    monkeypatch.setattr(judging, "JUDGE_SEED", judging.JUDGE_SEED + 1)
    images, labels = judge_data(400)
    accuracies = judge.accuracies(images.float() / 255, labels)
    assert accuracies["shape"] > 0.95 and accuracies["colour"] > 0.97


def test_a_judge_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "train_judge", lambda images, labels, *, epochs: Judge().eval())
    (tmp_path / "file").touch()
    with pytest.raises(
        EvaluationError, match=r"judge\.safetensors: expected a file that can be written, got"
    ):
        trained_judge(tmp_path / "file", scenes=4, epochs=1)
