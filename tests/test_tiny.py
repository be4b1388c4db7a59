"""The model in the package: it needs no network, and its embeddings are accurate in the toy world."""

import json
import socket
from dataclasses import replace

import pytest
import torch

import imagebind as library
from imagebind.benchmark.forward import example_input
from imagebind.checkpoints.factory import TINY_FOLDER
from imagebind.config import huge_config, tiny_config
from imagebind.embedder import Embedder
from imagebind.evaluation.toyworld import WorldFigures, held_out_world
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.toyworld import World, class_prompts, world_transforms, write_scene
from imagebind.training.tiny import recipe as tiny

MAX_BYTES = 16_000_000  # of weights in the package
SEED = 77  # of scenes that neither training nor its evaluation used
SCENES = 40
# By media type: an attribute that it shows, the lowest accuracy, and an attribute that it cannot show. The
# accuracies are about 3 standard deviations of 40 scenes below those of the model card.
ATTRIBUTES = {
    "image": ("shape", 0.75, "motion"),
    "video": ("motion", 0.8, None),
    "audio": ("shape", 0.75, "colour"),
    "depth": ("shape", 0.75, "colour"),
    "thermal": ("temperature", 0.85, "colour"),
    "imu": ("motion", 0.85, "shape"),
}

LOWEST_FIGURES = (
    dict.fromkeys(("image_shape", "image_colour", "video_shape", "video_colour", "video_motion"), 0.9)
    | dict.fromkeys(("video_to_text_r10", "depth_shape", "thermal_shape"), 0.9)
    | {"audio_shape": 0.94, "imu_motion": 0.95, "audio_motion": 0.85, "thermal_temperature": 0.85}
)


@pytest.fixture(scope="module")
def model():
    return library.imagebind_tiny(pretrained=True)


@pytest.fixture(scope="module")
def embedder(model):
    transforms = {kind.value: transform for kind, transform in world_transforms().items()}
    return Embedder(model, transforms=transforms)


@pytest.fixture(scope="module")
def scenes():
    world = World(seed=SEED, held_out=True)
    return [world.scene(number) for number in range(SCENES)]


@pytest.fixture(scope="module")
def files(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [write_scene(scene, folder / str(number)) for number, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def vectors(embedder, files):
    """Return the embeddings of the files of each media type: (n, e)."""
    return {kind: embedder.encode([{kind: each[kind]} for each in files]) for kind in ATTRIBUTES}


def accuracy(embedder, vectors, scenes, attribute):
    """Return the share of scenes whose attribute the nearest class name states correctly."""
    prompts = class_prompts(attribute)
    classes = torch.stack(
        [torch.from_numpy(embedder.encode(list(texts))).mean(dim=0) for texts in prompts.values()]
    )
    classes = torch.nn.functional.normalize(classes, dim=-1)
    nearest = (torch.from_numpy(vectors) @ classes.T).argmax(dim=1).tolist()
    names = list(prompts)
    right = [names[i] == scene.attributes[attribute] for i, scene in zip(nearest, scenes, strict=True)]
    return sum(right) / len(right)


def test_the_weights_of_the_tiny_model_are_loaded_without_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    model = library.imagebind_tiny(pretrained=True)
    assert not model.training and all(p.dtype == torch.float32 for p in model.parameters())


def test_the_weights_of_the_tiny_model_take_at_most_16_mb():
    files = set(TINY_FOLDER.glob("*.safetensors")) - {TINY_FOLDER / "decoder.safetensors"}
    size = sum(path.stat().st_size for path in files)
    assert 10_000_000 < size <= MAX_BYTES


@pytest.mark.parametrize("modality", ModalityType)
def test_the_tiny_model_takes_the_inputs_of_the_huge_model(model, modality):
    inputs = example_input(huge_config(), modality, 2)
    inputs = inputs[:, None] if modality is ModalityType.AUDIO else inputs
    with torch.inference_mode():
        assert model({modality: inputs})[modality].shape == (2, tiny_config().embed_dim)


def test_entries_of_the_tiny_model_have_the_names_of_the_huge_model(model):
    config = huge_config()
    config = replace(config, imu=replace(config.imu, head_dropout=0.0))  # a dropout layer changes the names
    assert set(model.state_dict()) <= set(ImageBindModel(config, device="meta").state_dict())


def test_one_trunk_can_be_loaded_alone(model):
    alone = library.imagebind_tiny(pretrained=True, modalities=["imu"])
    assert alone.modalities == ("imu",)
    assert torch.equal(
        alone.modality_heads["imu"].state_dict()["0.weight"],
        model.modality_heads["imu"].state_dict()["0.weight"],
    )


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_every_modality_is_classified_by_text(embedder, vectors, scenes, kind):
    attribute, lowest, _ = ATTRIBUTES[kind]
    assert accuracy(embedder, vectors[kind], scenes, attribute) >= lowest


@pytest.mark.parametrize("kind", [kind for kind, (_, _, hidden) in ATTRIBUTES.items() if hidden])
def test_an_attribute_that_a_modality_cannot_show_is_near_chance(embedder, vectors, scenes, kind):
    hidden = ATTRIBUTES[kind][2]
    chance = 1 / len(class_prompts(hidden))
    assert accuracy(embedder, vectors[kind], scenes, hidden) <= chance + 0.25


def test_audio_finds_its_own_scene_among_videos(embedder, vectors):
    similarity = embedder.similarity(vectors["audio"], vectors["video"])
    ranks = (similarity > similarity.diagonal()[:, None]).sum(axis=1)
    assert (ranks < 5).float().mean() >= 0.7  # by chance 0.125


def test_image_plus_audio_finds_the_colour_of_the_image_with_the_motion_of_the_audio(vectors, scenes):
    tried, hits, chance = 0, 0, 0.0
    for first, image in enumerate(vectors["image"]):
        for second, audio in enumerate(vectors["audio"]):
            matching = [
                number
                for number, scene in enumerate(scenes)
                if number not in (first, second)
                and scene.colour is scenes[first].colour
                and scene.motion is scenes[second].motion
            ]
            if matching and scenes[first].motion is not scenes[second].motion:
                similarity = vectors["video"] @ (image + audio)
                similarity[[first, second]] = -2
                hits += int(similarity.argmax()) in matching
                chance += len(matching) / (SCENES - 2)
                tried += 1
    assert tried > 200 and hits > 3 * chance


def test_imu_is_read_for_the_two_seconds_of_training_by_default(model, files, vectors):
    embedding = Embedder(model).encode([files[0]["imu"]])
    assert embedding @ vectors["imu"][0] == pytest.approx(1, abs=1e-3)


def card() -> str:
    return (TINY_FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_card_and_the_log_describe_the_training():
    assert "toy world" in card() and "imagebind train tiny" in card()
    log = [json.loads(line) for line in (TINY_FOLDER / "log.jsonl").read_text().splitlines()]
    steps = {each["stage"]: each["step"] for each in log}  # the last of each
    assert steps == {"towers": tiny.TOWER_STEPS, "senses": tiny.ALIGN_STEPS}


@pytest.mark.huge
def test_the_figures_of_the_tiny_model_are_those_of_its_card_and_above_the_lowest(model, tmp_path):
    rendered = held_out_world(tmp_path)
    measured = WorldFigures(rendered)(model)
    table = [line for line in card().splitlines() if "|" in line][2:]  # without its header
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table]
    assert measured == pytest.approx({name: float(share) / 100 for name, share in rows}, abs=0.01)
    assert {name: measured[name] for name, least in LOWEST_FIGURES.items() if measured[name] < least} == {}
