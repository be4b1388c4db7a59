"""The examples run and have the stated results."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.checkpoints.factory import TINY_FOLDER, load_model, save_model
from imagebind.checkpoints.loading import save_state_dict
from imagebind.config import AudioConfig, ImageBindConfig, OneChannelConfig, VisionConfig
from imagebind.modality import MediaKind
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.packs import read_pack
from imagebind.toyworld import read_manifest, world_transforms, write_world
from imagebind.toyworld.files import MANIFEST
from imagebind.training.journal import read_log
from imagebind.transforms.thermal import ThermalTransform
from tests.reference import small_config

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SIDE = 64  # pixels of the images of boxes
VISION_GAIN = 3  # new weights give nearly equal vectors for all images; larger ones distinguish them


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'example("{path.stem}")' not in tested] == []


def test_a_new_head_learns_classes_on_a_frozen_trunk(tmp_path, small_model):
    rng = np.random.default_rng(0)
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (40, 40, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    save_state_dict(small_model.state_dict(), tmp_path / "small.pth")
    folders = [str(tmp_path / "red"), str(tmp_path / "blue")]
    arguments = [*folders, "--weights", str(tmp_path / "small.pth")]
    assert example("new_head").main(arguments, small_config()) == 1.0


def test_a_new_modality_aligns_to_frozen_vision_and_is_saved_as_a_pack(tmp_path):
    first, last = example("new_modality").main(["--steps", "30", "--out", str(tmp_path / "pack")])
    assert last < 0.7 * first
    assert read_pack(tmp_path / "pack").modality == "radar"


def test_retrieval_finds_images_of_a_colour_by_text_and_files_by_audio(tmp_path, image_file, audio_file):
    hits = example("retrieval").main(["--out", str(tmp_path), "--scenes", "16", "--top", "2"])
    world = {entry["files"]["image"]: entry["attributes"] for entry in read_manifest(tmp_path / MANIFEST)}
    assert [world[file]["colour"] for file, _ in hits] == ["red", "red"]
    (tmp_path / "media").mkdir()
    shutil.copy(image_file, tmp_path / "media" / "a.jpg")
    (tmp_path / "media" / "notes.bin").write_bytes(bytes(64))
    ((file, cosine),) = example("retrieval").main([str(tmp_path / "media"), "--audio", str(audio_file)])
    assert file.name == "a.jpg" and -1 <= cosine <= 1


def test_a_sum_finds_the_colour_of_an_image_and_the_shape_of_audio(tmp_path, image_file, audio_file):
    colour, shape = example("arithmetic").main(["--gallery", "64"])
    assert colour > 3 / 8 and shape > 3 / 8  # chance is 1/8
    (tmp_path / "notes.bin").write_bytes(bytes(64))
    shutil.copy(image_file, tmp_path / "a.jpg")
    options = ["--image", str(image_file), "--audio", str(audio_file)]
    assert example("arithmetic").main([str(tmp_path), *options]) == [tmp_path / "a.jpg"]


def test_zero_shot_recognises_shapes_in_images_and_audio(tmp_path, image_file, audio_file):
    accuracies = example("zero_shot").main(["--out", str(tmp_path), "--scenes", "12"])
    assert accuracies["image"] > 0.5 and accuracies["audio"] > 0.5  # chance is 1/8
    files = [str(image_file), str(audio_file)]
    labels = example("zero_shot").main([*files, "--classes", "star", "ring | hoop"])
    assert list(labels) == files and set(labels.values()) <= {"star", "ring"}


def test_a_batch_of_files_becomes_a_table_and_a_bad_file_is_reported(tmp_path, capsys):
    write_world(tmp_path / "world", 2, seed=1)
    (tmp_path / "world" / "broken.wav").write_bytes(b"RIFF")
    table = tmp_path / "vectors.npz"
    counts = example("batch_embedding").main([str(tmp_path / "world"), "--out", str(table)])
    # Two depth and two thermal files are ambiguous, and the manifest is not media.
    assert counts["failed"] == 6 and counts["image"] == counts["video"] == counts["imu"] == 2
    assert "broken.wav" in capsys.readouterr().out
    with np.load(table) as stored:
        assert stored["vector"].shape == (counts.total() - counts["failed"], 128)


def test_a_text_is_found_in_a_recording_and_its_clip_is_cut_out(tmp_path, capsys):
    best, *_ = example("moments").main(["--out", str(tmp_path)])
    start, end = (float(word) for word in capsys.readouterr().out.split("\n")[0].split() if "." in word)
    shared = min(best.end, end) - max(best.start, start)
    assert shared > 0.5 * (max(best.end, end) - min(best.start, start))
    assert len(list((tmp_path / "clips").iterdir())) >= 1


@pytest.fixture
def weights(tmp_path) -> Path:
    """Save a model of three small trunks, whose vision embedding depends on the position of a box."""
    sizes = {"embed_dim": 64, "num_blocks": 2, "num_heads": 4}
    config = ImageBindConfig(
        embed_dim=32,
        vision=VisionConfig(**sizes, patch_size=56),
        audio=AudioConfig(**sizes, stride=16),
        depth=OneChannelConfig(**sizes, patch_size=56),
    )
    torch.manual_seed(0)
    model = ImageBindModel(config)
    with torch.no_grad():
        for parameter in model.modality_trunks["vision"].parameters():
            if parameter.ndim == 2:
                parameter *= VISION_GAIN
    save_model(model, tmp_path / "weights")
    return tmp_path / "weights"


def write_boxes(folder: Path, count: int) -> Path:
    """Write a manifest of images of a bright box at a random position, and of its depth."""
    folder.mkdir()
    rows = ["vision,depth"]
    for i in range(count):
        top, left = np.random.default_rng(i).integers(0, SIDE // 2, 2)
        box = np.zeros((SIDE, SIDE), dtype=bool)
        box[top : top + SIDE // 2, left : left + SIDE // 2] = True
        Image.fromarray(np.where(box, 230, 20).astype(np.uint8)).convert("RGB").save(folder / f"{i}.png")
        Image.fromarray(np.where(box, 1000, 3000).astype(np.uint16)).save(folder / f"{i}_depth.png")
        rows.append(f"{i}.png,{i}_depth.png")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder / "pairs.csv"


def changed_names(before: Path, after: Path) -> set[str]:
    """Return the names of the tensors that differ between two saved models."""
    old, new = (load_model(folder, dtype=torch.float32).state_dict() for folder in (before, after))
    assert old.keys() == new.keys()
    return {name for name, tensor in old.items() if not torch.equal(tensor, new[name])}


@torch.inference_mode()
def vectors(model: ImageBindModel, modality: str, inputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(model.eval().embed(modality, inputs), dim=-1)


def test_lora_changes_both_trunks_and_nothing_else_and_is_merged_exactly(tmp_path, weights, capsys):
    lora = example("lora_two_trunks")
    settings = ["--steps", "6", "--scenes", "8"]
    result = lora.main(["--weights", str(weights), "--out", str(tmp_path / "out"), *settings])
    kinds = [record["pair"] for record in read_log(tmp_path / "out")]
    assert len(kinds) == 6 and set(kinds) == {"audio", "depth"}

    changed = changed_names(weights, result.model)
    assert {name.split(".")[1] for name in changed} == {"audio", "depth"}
    assert {name.split(".")[0] for name in changed} <= {"modality_trunks", "modality_postprocessors"}
    assert "changed: modality_trunks.audio, modality_trunks.depth\n" in capsys.readouterr().out

    plain, merged = load_model(weights), load_model(result.model)
    adapted = lora.with_adapter(weights, result.adapter)
    for modality, shape in (("audio", (4, 1, 1, 128, 204)), ("depth", (4, 1, 224, 224))):
        inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        before, one, two = (vectors(model, modality, inputs) for model in (plain, adapted, merged))
        assert (one - two).abs().max() < 1e-5
        assert (before - two).abs().max() > 1e-3


@pytest.mark.huge
def test_training_on_an_own_manifest_increases_recall_on_held_out_pairs(tmp_path, weights):
    manifest = write_boxes(tmp_path / "boxes", 64)
    options = ["--manifest", manifest, "--modality", "depth", "--weights", weights, "--out", tmp_path / "out"]
    settings = ["--steps", "60", "--batch-size", "16"]
    before, after = example("own_manifest").main([*map(str, options), *settings])
    assert after["from_vision_median_rank"] < 0.7 * before["from_vision_median_rank"]
    assert after["from_vision_r5"] > before["from_vision_r5"] + 0.1
    changed = changed_names(weights, tmp_path / "out" / "model")
    assert {name.split(".")[1] for name in changed} == {"depth"}


def test_the_camera_of_the_own_manifest_shows_hot_objects_dark(tmp_path):
    manifest = example("own_manifest").write_manifest(tmp_path, 2)
    assert manifest.read_text().splitlines() == [
        "vision,thermal",
        "000000/image.png,000000/black_hot.png",
        "000001/image.png,000001/black_hot.png",
    ]
    white_hot = world_transforms()[MediaKind.THERMAL](tmp_path / "000001" / "thermal.png")
    black_hot = ThermalTransform()(tmp_path / "000001" / "black_hot.png")
    assert white_hot.std() > 0.02
    assert torch.allclose(white_hot, 1 - black_hot, atol=2 / 255)


@pytest.mark.huge
def test_the_trained_tiny_model_learns_a_camera_that_shows_hot_objects_dark(tmp_path):
    before, after = example("own_manifest").main(["--out", str(tmp_path), "--steps", "60"])
    assert after["from_vision_median_rank"] < before["from_vision_median_rank"]


@pytest.mark.huge
def test_lora_runs_on_the_trained_tiny_model(tmp_path):
    result = example("lora_two_trunks").main(["--out", str(tmp_path), "--steps", "4", "--scenes", "8"])
    changed = changed_names(TINY_FOLDER, result.model)
    assert {name.split(".")[1] for name in changed} == {"audio", "depth"}


@pytest.mark.huge
def test_two_processes_have_the_loss_curve_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    assert example("two_processes").main(["--out", str(tmp_path)]) < 1e-4
    one, two = ([record["loss"] for record in read_log(tmp_path / name)] for name in ("one", "two"))
    assert len(one) == len(two) == 6 and len(set(one)) == 6
    ranks = {
        name: len(list(tmp_path.glob(f"{name}/checkpoints/step-000006/random-*"))) for name in ("one", "two")
    }
    assert ranks == {"one": 1, "two": 2}
    assert np.allclose(one, two, rtol=1e-4, atol=0)


@pytest.mark.huge
def test_the_results_of_emergence_are_tables_of_percentages(tmp_path):
    settings = ["--seeds", "0", "--scenes", "6", "--held-out", "5", "--steps", "1"]
    lines = example("emergence").main(["--out", str(tmp_path), *settings])
    split = lines.index("")
    for (_, _, *rows), columns, figures in ((lines[:split], 6, 1), (lines[split + 1 :], 5, 2)):
        assert len(rows) > 10
        for row in rows:
            label, *cells = (cell.strip() for cell in row.strip("|").split("|"))
            assert label and len(cells) == columns
            shares = [float(share) for cell in cells for share in cell.split("/")]
            assert len(shares) == figures * columns and all(0 <= share <= 100 for share in shares)
    assert sum("(it cannot show)" in line for line in lines) == 5


def test_several_seeds_have_a_mean_and_a_standard_deviation():
    figures = [dict.fromkeys(["audio_shape"], share) for share in (0.9, 0.92, 0.94)]
    other = {"audio_shape": 0.5}
    emergence = example("emergence")
    found = emergence.Measured(
        seeds=figures, unseen=figures, shuffled=other, text=other, raw=other, scenes=256
    )
    row = emergence._row("audio", found, ["audio_shape"], raw=True)
    assert row == "| audio | 92.0 ± 2.0 | 92.0 | 12.5 | 50.0 | 50.0 | 50.0 |"


def test_images_are_generated_for_audio_a_text_and_their_sum(tmp_path):
    written = example("generation").main(["--out", str(tmp_path)])
    images = [Image.open(path) for path in written]
    assert [path.name for path in written] == ["audio.png", "text.png", "sum.png"]
    assert all(image.size == (128, 128) for image in images)
    assert images[0] != images[1] != images[2]
