"""The small model that comes along: it needs no network, and in its toy world it means what it says."""

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

MOST_BYTES = 16_000_000  # of weights in the package
SEED = 77  # of scenes that neither training nor its figures ever saw
SCENES = 40
# By sense: an attribute that it shows, the least share told, and one that it cannot show. The shares are some
# 3 standard deviations of 40 scenes below what the model card says.
KNOWS = {
    "image": ("shape", 0.75, "motion"),
    "video": ("motion", 0.8, None),
    "audio": ("shape", 0.75, "colour"),
    "depth": ("shape", 0.75, "colour"),
    "thermal": ("temperature", 0.85, "colour"),
    "imu": ("motion", 0.85, "shape"),
}

WANTED = (
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
    """Of each kind of file, read as a user would: (n, e)."""
    return {kind: embedder.encode([{kind: each[kind]} for each in files]) for kind in KNOWS}


def told(embedder, vectors, scenes, attribute):
    """The share of scenes whose attribute is named rightly, by the words nearest to each vector."""
    prompts = class_prompts(attribute)
    classes = torch.stack(
        [torch.from_numpy(embedder.encode(list(texts))).mean(dim=0) for texts in prompts.values()]
    )
    classes = torch.nn.functional.normalize(classes, dim=-1)
    nearest = (torch.from_numpy(vectors) @ classes.T).argmax(dim=1).tolist()
    names = list(prompts)
    right = [names[i] == scene.attributes[attribute] for i, scene in zip(nearest, scenes, strict=True)]
    return sum(right) / len(right)


def test_its_weights_need_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    model = library.imagebind_tiny(pretrained=True)
    assert not model.training and all(p.dtype == torch.float32 for p in model.parameters())


def test_its_weights_are_small_enough_to_come_along():
    size = sum(path.stat().st_size for path in TINY_FOLDER.glob("*.safetensors"))
    assert 10_000_000 < size <= MOST_BYTES


@pytest.mark.parametrize("modality", ModalityType)
def test_it_takes_what_the_huge_model_takes(model, modality):
    inputs = example_input(huge_config(), modality, 2)
    inputs = inputs[:, None] if modality is ModalityType.AUDIO else inputs
    with torch.inference_mode():
        assert model({modality: inputs})[modality].shape == (2, tiny_config().embed_dim)


def test_its_parts_have_the_huge_models_names(model):
    config = huge_config()
    config = replace(config, imu=replace(config.imu, head_dropout=0.0))  # a layer of its own, unnamed without
    assert set(model.state_dict()) <= set(ImageBindModel(config, device="meta").state_dict())


def test_one_trunk_can_be_had_alone(model):
    alone = library.imagebind_tiny(pretrained=True, modalities=["imu"])
    assert alone.modalities == ("imu",)
    assert torch.equal(
        alone.modality_heads["imu"].state_dict()["0.weight"],
        model.modality_heads["imu"].state_dict()["0.weight"],
    )


@pytest.mark.parametrize("kind", KNOWS)
def test_a_sense_that_was_never_trained_with_words_is_told_by_them(embedder, vectors, scenes, kind):
    attribute, least, _ = KNOWS[kind]
    assert told(embedder, vectors[kind], scenes, attribute) >= least


@pytest.mark.parametrize("kind", [kind for kind, (_, _, hidden) in KNOWS.items() if hidden])
def test_what_a_sense_cannot_show_is_guessed(embedder, vectors, scenes, kind):
    hidden = KNOWS[kind][2]
    chance = 1 / len(class_prompts(hidden))
    assert told(embedder, vectors[kind], scenes, hidden) <= chance + 0.25


def test_a_sound_finds_its_own_scene_among_videos(embedder, vectors):
    similarity = embedder.similarity(vectors["audio"], vectors["video"])
    ranks = (similarity > similarity.diagonal()[:, None]).sum(axis=1)
    assert (ranks < 5).float().mean() >= 0.7  # by chance 0.125


def test_a_picture_and_a_sound_added_find_the_look_of_one_and_the_motion_of_the_other(vectors, scenes):
    tried, hits, chance = 0, 0, 0.0
    for look, picture in enumerate(vectors["image"]):
        for motion, sound in enumerate(vectors["audio"]):
            wanted = [
                number
                for number, scene in enumerate(scenes)
                if number not in (look, motion)
                and scene.colour is scenes[look].colour
                and scene.motion is scenes[motion].motion
            ]
            if wanted and scenes[look].motion is not scenes[motion].motion:
                similarity = vectors["video"] @ (picture + sound)
                similarity[[look, motion]] = -2
                hits += int(similarity.argmax()) in wanted
                chance += len(wanted) / (SCENES - 2)
                tried += 1
    assert tried > 200 and hits > 3 * chance


def test_motion_is_read_for_the_two_seconds_that_it_knows_without_being_told(model, files, vectors):
    seen = Embedder(model).encode([files[0]["imu"]])
    assert seen @ vectors["imu"][0] == pytest.approx(1, abs=1e-3)


def card() -> str:
    return (TINY_FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_it_knows_and_how_it_came_to_be():
    assert "toy world" in card() and "imagebind train tiny" in card()
    log = [json.loads(line) for line in (TINY_FOLDER / "log.jsonl").read_text().splitlines()]
    steps = {each["stage"]: each["step"] for each in log}  # the last of each
    assert steps == {"towers": tiny.TOWER_STEPS, "senses": tiny.ALIGN_STEPS}


@pytest.mark.huge
def test_its_figures_are_those_of_the_card_and_what_it_should_know_it_knows(model, tmp_path):
    rendered = held_out_world(tmp_path)
    measured = WorldFigures(rendered)(model)
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in card().splitlines() if "|" in line][
        2:
    ]
    assert measured == pytest.approx({name: float(share) / 100 for name, share in rows}, abs=0.01)
    assert {name: measured[name] for name, least in WANTED.items() if measured[name] < least} == {}
