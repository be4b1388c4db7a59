"""Packs: a modality that a user bound to a space is saved, loaded, checked and embedded."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.applications.detection import detect
from imagebind.applications.generation import generate
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.config import AudioConfig, ImuConfig, OneChannelConfig
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError, MediaError
from imagebind.models.bound import with_modality
from imagebind.packs import read_pack, save_pack
from imagebind.space import Space, SpaceMismatchError
from imagebind.transforms import ArrayTransform
from imagebind.zeroshot import ZeroShotClassifier
from tests.packed import EVENT_SIZES as SIZES
from tests.packed import SIDE

TRANSFORM = ArrayTransform(shape=(1, SIDE, SIDE), mean=0.5, std=0.25)


@pytest.fixture(scope="module")
def tiny():
    return imagebind_tiny(pretrained=True)


@pytest.fixture(scope="module")
def bound(tiny):
    torch.manual_seed(0)
    return with_modality(tiny, "event", SIZES).eval()


@pytest.fixture
def pack(bound, tmp_path) -> Path:
    return save_pack(bound, "event", tmp_path / "event_camera", sizes=SIZES, transform=TRANSFORM)


@pytest.fixture
def events() -> list[np.ndarray]:
    return list(np.random.default_rng(0).uniform(0, 1, (3, SIDE, SIDE)).astype(np.float32))


def test_the_description_of_a_pack_is_readable(pack):
    about = json.loads((pack / "config.json").read_text())
    assert about["settings"] == {"shape": [1, SIDE, SIDE], "mean": 0.5, "std": 0.25}
    assert about["space"]["model"] == "imagebind_tiny" and len(about["space"]["weights"]) == 6
    found = read_pack(pack)
    assert found.modality == "event" and found.sizes == SIZES and found.make_transform() == TRANSFORM


def edited(pack: Path, **changes) -> Path:
    """Return the pack after changing some entries of its description."""
    path = pack / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return pack


@torch.inference_mode()
def expected_vectors(model, events) -> np.ndarray:
    maps = torch.from_numpy(np.stack(events))[:, None]
    return torch.nn.functional.normalize(model({"event": (maps - 0.5) / 0.25})["event"], dim=-1).numpy()


def test_a_loaded_pack_gives_the_vectors_of_the_saved_model(pack, bound, events):
    embedder = Embedder("imagebind_tiny", packs=[pack], device="cpu")
    found = embedder.encode(events, modality="event")
    assert found.shape == (3, 128)
    assert np.allclose(found, expected_vectors(bound, events), atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_pack_is_loaded_from_the_home_folder(pack, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(pack.parent))
    assert Embedder(tiny, packs=f"~/{pack.name}").bound == ("event",)


def test_the_other_modalities_are_shared_and_the_given_model_is_unchanged(pack, tiny):
    names = tiny.modalities
    embedder = Embedder(tiny, packs=[pack])
    assert tiny.modalities == names and embedder.model.modalities == (*names, "event")
    assert embedder.model.modality_trunks["vision"] is tiny.modality_trunks["vision"]
    assert np.array_equal(embedder.encode("a red star"), Embedder(tiny).encode("a red star"))


def test_arrays_files_and_mappings_give_the_same_vector(pack, tiny, events, tmp_path):
    embedder = Embedder(tiny, packs=[pack])
    np.save(tmp_path / "events.npy", events[0])
    (expected,) = embedder.encode([events[0]], modality="event")
    text, mapped = embedder.encode(["a star", {"event": events[0]}])
    assert np.allclose(mapped, expected, atol=1e-6) and not np.allclose(text, expected, atol=0.1)
    for item in (tmp_path / "events.npy", str(tmp_path / "events.npy"), torch.from_numpy(events[0])):
        assert np.allclose(embedder.encode([item], modality="event")[0], expected, atol=1e-6)


def test_a_report_names_the_modality_and_the_file_of_a_failed_item(pack, tiny, tmp_path):
    (tmp_path / "noise.npy").write_bytes(b"\x93NUMPY")
    embedder = Embedder(tiny, packs=[pack])
    good = np.zeros((SIDE, SIDE), np.float32)
    vectors, report = embedder.encode(
        [tmp_path / "noise.npy", np.full((SIDE, SIDE), np.nan), np.zeros((2, 3, 5)), good],
        modality="event",
        on_error="skip",
        return_report=True,
    )
    assert np.isnan(vectors[:3]).all() and np.isfinite(vectors[3]).all()
    assert [entry.modality for entry in report] == ["event"] * 4
    assert "noise.npy" in str(report[0].error) and "infinite" in str(report[1].error)
    assert "expected an array of shape (1, 32, 32)" in str(report[2].error)


def test_a_mapping_of_another_modality_or_with_an_unknown_option_is_refused(pack, tiny, events):
    embedder = Embedder(tiny, packs=[pack])
    with pytest.raises(MediaError, match="expected the key event, got other keys"):
        embedder.encode([{"audio": "a.wav"}], modality="event")
    with pytest.raises(MediaError, match="expected audio, as given by modality=, got event"):
        embedder.encode([{"event": events[0]}], modality="audio")
    with pytest.raises(MediaError, match=r"expected options of event \(.*shape, mean.*\), got gain"):
        embedder.encode([{"event": events[0], "gain": 2}])


def test_an_image_of_another_size_can_be_embedded(pack, tiny):
    embedder = Embedder(tiny, packs=[pack])
    grey = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 48), np.uint8))
    assert np.isfinite(embedder.encode([grey], modality="event")).all()


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        (AudioConfig(embed_dim=16, num_blocks=1, num_heads=2, mel_bins=32, mel_frames=48), (1, 32, 48)),
        (ImuConfig(embed_dim=16, num_blocks=1, num_heads=2, channels=3, steps=80), (3, 80)),
    ],
    ids=["map", "series"],
)
def test_a_pack_may_have_maps_of_two_axes_or_series_of_channels(tiny, tmp_path, sizes, shape):
    model = with_modality(tiny, "radar", sizes).eval()
    folder = save_pack(model, "radar", tmp_path / "p", sizes=sizes, transform=ArrayTransform(shape=shape))
    item = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (found,) = Embedder(tiny, packs=[folder]).encode([item], modality="radar")
    with torch.inference_mode():
        (expected,) = model({"radar": torch.from_numpy(item)[None]})["radar"]
    assert np.allclose(found, torch.nn.functional.normalize(expected, dim=0).numpy(), atol=1e-6)


def test_two_packs_can_be_loaded_together_but_not_one_twice(tiny, pack, tmp_path, events):
    model = with_modality(tiny, "radar", SIZES).eval()
    radar = save_pack(model, "radar", tmp_path / "radar", sizes=SIZES, transform=TRANSFORM)
    embedder = Embedder(tiny, packs=[pack, radar])
    assert embedder.bound == ("event", "radar")
    first, second = (embedder.encode(events, modality=name) for name in ("event", "radar"))
    assert not np.allclose(first, second, atol=0.1)
    with pytest.raises(CheckpointError, match="'event', which the model has"):
        Embedder(tiny, packs=[pack, pack])


def test_a_pack_loads_into_a_model_with_some_of_its_modalities_and_in_bfloat16(pack, events, bound):
    embedder = Embedder(
        "imagebind_tiny", modalities=["text"], dtype=torch.bfloat16, packs=[pack], device="cpu"
    )
    cosines = (embedder.encode(events, modality="event") * expected_vectors(bound, events)).sum(axis=1)
    assert (cosines > 0.99).all()


def test_the_space_of_an_embedder_has_its_packs_and_fits_one_without_them(pack, tiny):
    space = Space.of(Embedder(tiny, packs=[pack]))
    assert space.model == "imagebind_tiny" and "event" in space.weights
    assert "shape=(1, 32, 32)" in space.transforms["event"]
    Space.of(Embedder(tiny)).check(space, owner="index")


def test_an_embedder_with_a_pack_can_be_pickled(pack, tiny, events):
    embedder = Embedder(tiny, packs=[pack])
    received = pickle.loads(pickle.dumps(embedder))
    found, expected = (one.encode(events, modality="event") for one in (received, embedder))
    assert np.array_equal(found, expected)
    assert not any(module.training for module in received.model.modules())


def test_items_of_a_pack_are_queries_of_detection_and_generation(pack, tiny, events):
    embedder = Embedder(tiny, packs=[pack])
    image = Image.new("RGB", (64, 64))
    options = {"proposals": [[0, 0, 32, 32]], "threshold": 0}
    for queries, name in (({"event": events[0]}, "<ndarray (32, 32)>"), ({"e": {"event": events[0]}}, "e")):
        (found,) = detect(embedder, image, queries, **options)
        assert found.query == name
    own = detect(embedder, image, {"event": events[0]}, backgrounds={"event": events[1:]}, **options)
    assert own[0].score != found.score
    seen = []
    generate(embedder, {"event": events[0]}, decoder=lambda one: seen.append(one) or np.zeros((4, 4)))
    assert np.allclose(seen[0].numpy(), embedder.encode(events[0], modality="event"), atol=1e-6)


def test_items_of_a_pack_that_is_not_loaded_are_refused_with_the_way_to_load_it(tiny, events):
    embedder, image = Embedder(tiny), Image.new("RGB", (64, 64))
    with pytest.raises(MediaError, match=r"<mapping with event>.*packs=\[folder\]"):
        generate(embedder, {"event": events[0]})
    with pytest.raises(MediaError, match=r"<mapping with event>.*packs=\[folder\]"):
        detect(embedder, image, [{"event": events[0]}])
    with pytest.raises(ValueError, match=r"got 'event'; a modality of a pack needs Embedder"):
        embedder.encode(events, modality="event")


def test_the_error_of_an_array_without_a_media_type_names_its_query(tiny, events):
    with pytest.raises(MediaError, match=r"query 'event', <ndarray \(32, 32\)>: expected a media type"):
        detect(Embedder(tiny), Image.new("RGB", (64, 64)), {"event": events[0]})


def test_a_zero_shot_classifier_takes_items_of_a_pack(pack, tiny, events):
    classifier = ZeroShotClassifier(Embedder(tiny, packs=[pack]), ["star", "ring"])
    labels, probabilities = classifier.predict(events, modality="event")
    assert set(labels) <= {"star", "ring"} and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_model_of_another_space_or_without_a_common_modality_is_rejected(pack, tiny):
    other = imagebind_tiny(pretrained=True)
    with torch.no_grad():
        other.modality_heads["vision"][-1].weight.mul_(1.1)
    with pytest.raises(SpaceMismatchError, match=r"event_camera: .*weights of vision.*the pack was trained"):
        Embedder(other, packs=[pack])
    edited(pack, space=read_space(pack) | {"weights": {"vision": read_space(pack)["weights"]["vision"]}})
    with pytest.raises(SpaceMismatchError, match=r"expected a model with vision.*, got one with text"):
        Embedder("imagebind_tiny", modalities=["text"], packs=[pack])


def read_space(pack: Path) -> dict:
    return json.loads((pack / "config.json").read_text())["space"]


def test_the_error_of_missing_files_and_wrong_tensors_names_them(pack, tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: expected the folder.*no such folder"):
        Embedder(tiny, packs=[tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: expected the folder of a pack.*without config\.json"):
        Embedder(tiny, packs=[tmp_path / "empty"])
    edited(pack, sizes=json.loads((pack / "config.json").read_text())["sizes"] | {"embed_dim": 32})
    with pytest.raises(
        CheckpointError, match=r"does not fit the model: different .*cls_token: expected .*, got \(1, 1, 16"
    ):
        Embedder(tiny, packs=[pack])
    (pack / "event.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"event\.safetensors: .*cannot be read"):
        Embedder(tiny, packs=[pack])


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "imagebind"},
        {"version": 2},
        {"modality": "audio"},
        {"modality": "../event"},
        {"trunk": "os.system"},
        {"sizes": None},
        {"sizes": {"embed_dim": 2**40, "num_blocks": 1, "num_heads": 1}},
        {"settings": {"shape": {"a": 1}}},
        {"space": {}},
    ],
    ids=str,
)
def test_a_wrong_description_is_one_error_that_names_the_file(pack, tiny, changes):
    with pytest.raises(
        CheckpointError, match=r"config\.json: expected the description .*, got a file that cannot be read"
    ):
        Embedder(tiny, packs=[edited(pack, **changes)])


def test_a_wrong_size_or_trunk_is_named_as_in_the_file(pack, tiny):
    sizes = json.loads((pack / "config.json").read_text())["sizes"]
    for wrong, message in (
        ({"num_blocks": 0}, "sizes.num_blocks: expected 1 to"),
        ({"num_heads": 3}, "sizes.embed_dim: expected a multiple of num_heads = 3, got 16"),
    ):
        with pytest.raises(CheckpointError, match=message):
            Embedder(tiny, packs=[edited(pack, sizes=sizes | wrong)])
    with pytest.raises(CheckpointError, match="trunk: expected one of OneChannelConfig"):
        Embedder(tiny, packs=[edited(pack, trunk="os.system")])


def test_settings_that_the_transform_does_not_accept_are_an_error(pack, tiny):
    with pytest.raises(CheckpointError, match="ArrayTransform does not accept the settings"):
        Embedder(tiny, packs=[edited(pack, settings={"gain": 3})])


@dataclass(frozen=True, kw_only=True)
class Polarity:
    """The sign of the events: a transform that is not part of the library."""

    threshold: float = 0.1

    def __call__(self, events: np.ndarray) -> torch.Tensor:
        signs = np.sign(events) * (abs(events) > self.threshold)
        return torch.from_numpy(signs.astype(np.float32))[None]


def test_a_transform_of_the_users_own_must_be_passed_and_gets_the_stored_settings(bound, tiny, tmp_path):
    folder = save_pack(bound, "event", tmp_path / "own", sizes=SIZES, transform=Polarity(threshold=0.25))
    with pytest.raises(CheckpointError, match=r"Polarity is not in imagebind\.transforms; pass it"):
        Embedder(tiny, packs=[folder])
    of_class = Embedder(tiny, packs=[folder], transforms={"event": Polarity})
    assert of_class.transform("event") == Polarity(threshold=0.25)
    given = Polarity(threshold=0.5)
    assert Embedder(tiny, packs=[folder], transforms={"event": given}).transform("event") is given


def test_loading_runs_no_code_of_the_folder(pack, tiny):
    (pack / "ArrayTransform.py").write_text("raise SystemExit")
    (pack / "__init__.py").write_text("raise SystemExit")
    Embedder(tiny, packs=[pack])
    with pytest.raises(CheckpointError, match="is not in imagebind"):
        Embedder(tiny, packs=[edited(pack, transform="os.system")])


def test_saving_checks_the_name_the_sizes_and_the_settings(bound, tmp_path):
    with pytest.raises(ValueError, match=r"expected one of vision.*got 'radar'"):
        save_pack(bound, "radar", tmp_path / "p", sizes=SIZES, transform=TRANSFORM)
    wrong = OneChannelConfig(embed_dim=16, num_blocks=2, num_heads=2, image_size=SIDE, patch_size=8)
    with pytest.raises(ValueError, match="tensors of event differ"):
        save_pack(bound, "event", tmp_path / "p", sizes=wrong, transform=TRANSFORM)
    with pytest.raises(ValueError, match=r"Polarity\.threshold: expected numbers"):
        own = Polarity(threshold=np.float64)
        save_pack(bound, "event", tmp_path / "p", sizes=SIZES, transform=own)
    assert not (tmp_path / "p").exists()


def test_a_folder_that_cannot_be_created_is_an_error(bound, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="got one that cannot be created"):
        save_pack(bound, "event", tmp_path / "file" / "pack", sizes=SIZES, transform=TRANSFORM)
