"""Weight files: exact round trips, partial reads, and errors for bad files."""

import json
import logging
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from imagebind.checkpoints import formats as weights
from imagebind.checkpoints import loading as checkpoint
from imagebind.checkpoints.download import IMAGEBIND_HUGE
from imagebind.checkpoints.formats import INDEX_NAME, SINGLE_NAME, modality_of
from imagebind.checkpoints.loading import (
    convert,
    load_into,
    read_state_dict,
    resolve,
    save_state_dict,
)
from imagebind.errors import CheckpointError
from imagebind.modality import ModalityType

DATA = Path(__file__).parents[1] / "data"
FORMATS = ["weights.pth", "weights.safetensors", "folder"]


class Tiny(nn.Module):
    """A module with entries of two modalities, so small that a test can truncate its file at every byte."""

    def __init__(self, modalities: tuple[str, ...] = ("audio", "text"), width: int = 3) -> None:
        super().__init__()
        self.modality_trunks = nn.ModuleDict({name: nn.Linear(2, width) for name in modalities})
        self.modality_heads = nn.ModuleDict({name: nn.Linear(width, 2, bias=False) for name in modalities})
        self.modality_heads[modalities[0]].register_buffer("log_logit_scale", torch.tensor(3.0))


@pytest.fixture
def entries() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return Tiny().state_dict()


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert set(left) == set(right)
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert left[name].shape == right[name].shape
        assert left[name].contiguous().flatten().view(torch.uint8).tolist() == (
            right[name].contiguous().flatten().view(torch.uint8).tolist()
        ), name


def saved(entries: dict[str, Tensor], path: Path) -> Path:
    save_state_dict(entries, path)
    return path


# Round trips


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_saving_and_reading_keeps_every_bit(tmp_path, name, dtype):
    bits = torch.randint(0, 256, (64,), dtype=torch.uint8)
    odd = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-42]).to(torch.float32)
    entries = {
        "modality_trunks.audio.weight": bits.view(dtype).reshape(2, -1),
        "modality_trunks.audio.scale": torch.ones((), dtype=dtype),
        "modality_trunks.text.none": torch.empty(0, 3, dtype=dtype),
        "modality_heads.text.odd": odd,
    }
    assert_same_bits(read_state_dict(saved(entries, tmp_path / name)), entries)


@pytest.mark.parametrize("name", FORMATS)
def test_views_and_tied_weights_are_saved_without_other_bytes(tmp_path, name):
    base = torch.arange(200_000.0).reshape(400, 500)
    entries = {
        "modality_trunks.audio.a": base[:2, :2].mT,
        "modality_trunks.audio.b": base[0, :3],
        "modality_trunks.audio.c": base[0, :3],
        "modality_trunks.text.d": nn.Parameter(base[5, 5]),
    }
    path = saved(entries, tmp_path / name)
    assert_same_bits(read_state_dict(path), {name: tensor.detach() for name, tensor in entries.items()})
    files = path.iterdir() if path.is_dir() else [path]
    assert sum(file.stat().st_size for file in files) < 10_000  # the base alone is 800,000


def test_weights_can_be_written_to_the_file_they_were_read_from(tmp_path, entries):
    for name in FORMATS:
        path = saved(entries, tmp_path / name)
        again = read_state_dict(path)
        save_state_dict(again, path)
        assert_same_bits(read_state_dict(path), entries)
        assert_same_bits(again, entries)


def test_changing_loaded_weights_does_not_change_the_file(tmp_path, entries):
    for name in FORMATS:
        path = saved(entries, tmp_path / name)
        for tensor in read_state_dict(path).values():
            tensor.zero_()
        assert_same_bits(read_state_dict(path), entries)


def test_file_permissions_follow_the_umask(tmp_path, entries):
    plain = tmp_path / "plain"
    plain.touch()
    for name in FORMATS[:2]:
        assert saved(entries, tmp_path / name).stat().st_mode == plain.stat().st_mode


# Folders of one file per modality


@pytest.mark.parametrize("name", FORMATS)
def test_convert_writes_a_file_per_modality_with_hugging_faces_index(tmp_path, entries, name):
    source = saved(entries, tmp_path / name)
    written = convert(source, tmp_path / "out", config={"embed_dim": 2})
    names = ["audio.safetensors", "text.safetensors", "config.json", INDEX_NAME]
    assert [path.name for path in written] == names
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    index = json.loads((tmp_path / "out" / INDEX_NAME).read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in entries.values())
    assert index["weight_map"] == {name: f"{modality_of(name)}.safetensors" for name in entries}
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"embed_dim": 2}
    assert_same_bits(read_state_dict(tmp_path / "out"), entries)


def test_only_the_files_of_the_wanted_modality_are_opened(tmp_path, entries):
    folder = saved(entries, tmp_path / "folder")
    (folder / "text.safetensors").unlink()
    only_audio = read_state_dict(folder, modalities=[ModalityType.AUDIO])
    assert_same_bits(only_audio, {name: entries[name] for name in entries if modality_of(name) == "audio"})
    load_into(Tiny(("audio",)), folder)
    with pytest.raises(CheckpointError, match=r"text\.safetensors"):
        read_state_dict(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_wanted_modalities_are_read(tmp_path, entries, name):
    path = saved(entries, tmp_path / name)
    assert {modality_of(name) for name in read_state_dict(path, modalities=["text"])} == {"text"}
    assert read_state_dict(path, modalities=["depth"]) == {}


def test_a_name_without_a_modality_cannot_be_written_to_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"fc\.weight"):
        save_state_dict({"fc.weight": torch.zeros(1)}, tmp_path / "folder")
    with pytest.raises(CheckpointError, match=r"foreign\.pth.*fc\.weight"):
        convert(saved({"fc.weight": torch.zeros(1)}, tmp_path / "foreign.pth"), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("modality_trunks.vision.blocks.0.attn.in_proj_weight", "vision"),
        ("modality_postprocessors.radar.1.log_logit_scale", "radar"),
        ("modality_trunks.vision", None),
        ("module.modality_trunks.vision.weight", None),
        ("modality_trunks.../x.weight", None),
        ("modality_trunks.a/b.weight", None),
        ("", None),
    ],
)
def test_an_entrys_modality_is_the_second_part_of_its_name(name, modality):
    assert modality_of(name) == modality


def test_every_entry_of_the_released_file_has_a_modality():
    names = json.loads((DATA / "imagebind_huge_state_dict.json").read_text())
    assert {modality_of(name) for name in names} == {modality.value for modality in ModalityType}


# Loading into a model


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_loading_keeps_bits_and_requires_grad(tmp_path, entries, name, device):
    with torch.device(device):
        model = Tiny()
    model.modality_trunks["audio"].requires_grad_(False)
    assert load_into(model, saved(entries, tmp_path / name)) is model
    assert_same_bits(model.state_dict(), entries)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        "modality_trunks.text.weight",
        "modality_trunks.text.bias",
        "modality_heads.audio.weight",
        "modality_heads.text.weight",
    }


def test_the_whole_small_model_is_loaded_from_the_meta_device(tmp_path):
    from imagebind.config import AudioConfig, ImageBindConfig, ImuConfig, TextConfig
    from imagebind.models.imagebind_model import ImageBindModel

    sizes = {"embed_dim": 16, "num_blocks": 1, "num_heads": 2}
    config = ImageBindConfig(
        embed_dim=8, text=TextConfig(**sizes), audio=AudioConfig(**sizes), imu=ImuConfig(**sizes)
    )
    original = ImageBindModel(config)
    folder = convert(saved(original.state_dict(), tmp_path / "small.pth"), tmp_path / "small")[-1].parent
    model = load_into(ImageBindModel(config, device="meta"), folder)
    assert_same_bits(model.state_dict(), original.state_dict())
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    audio = torch.randn(1, 1, 1, 128, 204)
    assert torch.equal(model.eval()({"audio": audio})["audio"], original.eval()({"audio": audio})["audio"])


def test_a_model_of_fewer_modalities_loads_only_those(tmp_path, entries):
    model = load_into(
        Tiny(("text",)),
        saved(entries | {"modality_heads.text.log_logit_scale": torch.ones(())}, tmp_path / "w.pth"),
    )
    weight = model.state_dict()["modality_trunks.text.weight"]
    assert torch.equal(weight, entries["modality_trunks.text.weight"])


def test_selected_modalities_are_loaded_and_the_others_unchanged(tmp_path, entries):
    model = Tiny(("audio", "text", "radar"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_into(model, saved(entries, tmp_path / "w.pth"), modalities=[ModalityType.AUDIO])
    after = model.state_dict()
    assert_same_bits(
        after, {name: (entries if modality_of(name) == "audio" else before)[name] for name in after}
    )


def test_a_dtype_applies_to_floating_point_only(tmp_path):
    model = Tiny()
    model.modality_heads["text"].register_buffer("count", torch.tensor(7))
    path = saved(model.state_dict(), tmp_path / "w.safetensors")
    loaded = load_into(model, path, dtype=torch.bfloat16).state_dict()
    assert loaded.pop("modality_heads.text.count").dtype == torch.int64
    assert {tensor.dtype for tensor in loaded.values()} == {torch.bfloat16}


def test_a_file_of_other_sizes_raises_an_error_with_both_shapes(tmp_path):
    path = saved(Tiny(width=5).state_dict(), tmp_path / "wide.pth")
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_into(model, path)
    assert "wide.pth" in str(caught.value)
    assert "modality_trunks.audio.weight: expected (3, 2), got (5, 2)" in str(caught.value)
    assert "and 1 more" in str(caught.value)
    assert "other sizes" in str(caught.value)
    assert_same_bits(model.state_dict(), before)


def test_a_file_of_another_model_raises_an_error_with_names_of_both(tmp_path):
    path = saved({f"layer{i}.weight": torch.zeros(2, 2) for i in range(9)}, tmp_path / "resnet.safetensors")
    with pytest.raises(
        CheckpointError, match=r"resnet.*missing modality_trunks.*layer0.weight.*4 more.*another model"
    ):
        load_into(Tiny(), path)


def test_missing_and_unexpected_names_are_reported(tmp_path, entries):
    entries["modality_heads.audio.wieght"] = entries.pop("modality_heads.audio.weight")
    path = saved(entries, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"missing modality_heads\.audio\.weight; unexpected .*\.wieght"
    ):
        load_into(Tiny(), path)


def test_integers_for_a_floating_point_weight_raise_an_error(tmp_path, entries):
    entries["modality_trunks.text.bias"] = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(CheckpointError, match=r"text\.bias: expected \(3,\).*, got \(3,\) torch\.int64"):
        load_into(Tiny(), saved(entries, tmp_path / "w.pth"))


# Sources


def test_no_source_and_the_released_url_mean_the_released_file(monkeypatch, tmp_path):
    calls = []

    def record(**options: object) -> Path:
        calls.append(options)
        return tmp_path

    monkeypatch.setattr(checkpoint, "download", record)
    options = {"cache_dir": tmp_path, "offline": True, "show_progress": False}
    assert resolve(None, **options) == resolve(IMAGEBIND_HUGE.url, **options) == tmp_path
    assert calls == [options, options]


def test_a_file_and_a_folder_are_returned_unchanged(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "w.pth").touch()
    assert resolve(tmp_path / "w.pth") == resolve("~/w.pth") == tmp_path / "w.pth"
    assert resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, "float16"])
def test_a_dtype_that_is_not_floating_point_raises_an_error(tmp_path, entries, dtype):
    path = saved(entries, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=f"dtype: expected a floating point dtype .*, got {dtype!r}"):
        load_into(Tiny(), path, dtype=dtype)


@pytest.mark.parametrize(
    "name", ["none.pth", "nielsr/imagebind-huge", "nul\0.pth", "x" * 5000, "~no-such-user/w.pth"]
)
def test_a_missing_file_raises_an_error_with_the_valid_sources(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no such file") as caught:
        read_state_dict(name)
    assert str(caught.value).startswith(name)
    assert "hf://" in str(caught.value)


def test_a_uri_is_opened_by_iopath(tmp_path, entries):
    from iopath.common.file_io import PathHandler

    from imagebind.io.uri import path_manager

    class FolderHandler(PathHandler):
        def _get_supported_prefixes(self):
            return ["shelf://"]

        def _get_local_path(self, path, force=False, **kwargs):
            return str(tmp_path / path.removeprefix("shelf://"))

    path_manager().register_handler(FolderHandler(), allow_override=True)
    saved(entries, tmp_path / "w.pth")
    assert_same_bits(read_state_dict("shelf://w.pth"), entries)
    with pytest.raises(CheckpointError, match=r"shelf://none\.pth: no such file"):
        read_state_dict("shelf://none.pth")
    with pytest.raises(CheckpointError, match=r"nowhere://x"):
        read_state_dict("nowhere://x")
    with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1/w\.pth: no local copy.*offline=True"):
        resolve("http://127.0.0.1/w.pth", offline=True)


def hub_cache(folder: Path, repo: str) -> Path:
    """Create a repository in Hugging Face's cache layout; return the folder of its files."""
    root = folder / ("models--" + repo.replace("/", "--"))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    snapshot = root / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


def test_a_hub_repository_in_the_cache_is_used_offline(tmp_path, entries, caplog):
    caplog.set_level(logging.INFO, logger="imagebind")
    saved(entries, hub_cache(tmp_path, checkpoint.HUB_REPO) / SINGLE_NAME)
    folder = resolve(f"hf://{checkpoint.HUB_REPO}", cache_dir=tmp_path, offline=True)
    assert_same_bits(read_state_dict(folder), entries)
    assert "CC BY-NC-SA 4.0" in caplog.text


@pytest.mark.parametrize("address", ["nobody/nothing", "not a repository", "", "a/b/c/d"])
def test_a_hub_repository_that_is_absent_or_invalid_raises_an_error_with_its_address(tmp_path, address):
    with pytest.raises(CheckpointError, match=f"hf://{address}"):
        resolve(f"hf://{address}", cache_dir=tmp_path, offline=True)


# Bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "starts with b'version h'"),
        (pickle.dumps({"a": 1}), "since torch 1.6"),
        (b"PK\x03\x04 and nothing more", "incomplete"),
        (struct.pack("<Q", 2**60) + b"{}", "incomplete"),
        (struct.pack("<Q", 2) + b"{}" + b"unasked", "incomplete"),
        (b"\0", "starts with"),
    ],
)
def test_a_file_without_weights_raises_an_error_with_its_content(tmp_path, content, message):
    (tmp_path / "what.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"what\.pth.*{message}"):
        read_state_dict(tmp_path / "what.pth")


class Code:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.filterwarnings("ignore:Validating sparse")  # torch warns about any sparse tensor
@pytest.mark.parametrize(
    "content",
    [
        {"modality_trunks.audio.weight": Code()},
        {"epoch": 3, "state_dict": {}},
        {"modality_trunks.audio.weight": torch.ones(2).to_sparse()},
        {"modality_trunks.audio.weight": torch.ones(2, device="meta")},
        {3: torch.ones(2)},
        [torch.ones(2)],
        torch.ones(2),
        None,
    ],
)
def test_other_content_than_dense_tensors_raises_an_error_and_runs_no_code(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FORMATS[:2])
def test_a_truncated_file_raises_an_error_with_its_name(tmp_path, entries, name):
    whole = saved(entries, tmp_path / name).read_bytes()
    cut = tmp_path / f"cut-{name}"
    for size in [*range(0, len(whole), max(1, len(whole) // 200)), *range(len(whole) - 30, len(whole))]:
        cut.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=f"cut-{name}"):
            load_into(Tiny(), cut)


@pytest.mark.parametrize("name", FORMATS[:2])
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_a_file_with_flipped_bits_is_read_or_raises_an_error(tmp_path, entries, name, data):
    damaged = bytearray(saved(entries, tmp_path / name).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / f"damaged-{name}"
    path.write_bytes(damaged)
    model = Tiny()
    try:
        load_into(model, path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert {key: tensor.shape for key, tensor in model.state_dict().items()} == {
            key: tensor.shape for key, tensor in entries.items()
        }
        sum(tensor.sum() for tensor in model.state_dict().values())  # the memory can be read


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": 3}',
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": {"a": ["b"]}}',
        b'{"weight_map": {"a": "../w.safetensors"}}',
        b'{"weight_map": {"a": "/w.safetensors"}}',
        b'{"weight_map": {"a": ".."}}',
        b'{"weight_map": {"a": "w.pth"}}',
        b'{"weight_map": {"a": "none.safetensors"}}',
        b'{"weight_map": {"a": "' + b"x" * 300 + b'.safetensors"}}',
        b'{"weight_map": {"a": "audio.safetensors"}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_bad_index_raises_an_error(tmp_path, entries, index):
    folder = saved(entries, tmp_path / "folder")
    saved(entries, tmp_path / "w.safetensors")
    (folder / INDEX_NAME).write_bytes(index)
    with pytest.raises(CheckpointError, match="folder"):
        read_state_dict(folder)


def test_a_folder_without_weights_raises_an_error_with_the_expected_files(tmp_path):
    with pytest.raises(CheckpointError, match=rf"{INDEX_NAME} or {SINGLE_NAME}"):
        read_state_dict(tmp_path)


# Failed writes


class FullDisk:
    """Make a writer fail midway, as on a full disk."""

    def __init__(self, writer, after: int) -> None:
        self.writer = writer
        self.left = after

    def __call__(self, entries, path: Path) -> None:
        self.left -= 1
        if self.left < 0:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        self.writer(entries, path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("before", [True, False])
def test_a_failed_save_keeps_the_existing_files_and_adds_none(tmp_path, entries, name, before, monkeypatch):
    path = tmp_path / name
    if before:
        save_state_dict(entries, path)
    contents = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for writer in ("_write_torch", "_write_safetensors"):
        monkeypatch.setattr(weights, writer, FullDisk(getattr(weights, writer), after=int(name == "folder")))
    with pytest.raises(CheckpointError, match=rf"{name}.*No space left"):
        save_state_dict({name: tensor + 1 for name, tensor in entries.items()}, path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == contents
    assert path.exists() is before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits on the size of files")
@pytest.mark.parametrize("name", FORMATS)
def test_a_failing_file_system_is_reported(tmp_path, name):
    import resource

    entries = {"modality_trunks.audio.weight": torch.ones(1 << 18)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=rf"{tmp_path}.*cannot be written"):
            save_state_dict(entries, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_raises_an_error_with_its_path(tmp_path, entries):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file"):
        save_state_dict(entries, tmp_path / "file" / "folder")
    with pytest.raises(CheckpointError, match="file"):
        save_state_dict(entries, tmp_path / "file" / "w.pth")
    with pytest.raises(CheckpointError, match="null byte"):
        save_state_dict(entries, tmp_path / "nul\0")


def test_a_dtype_that_safetensors_lacks_raises_an_error_with_its_name(tmp_path):
    entries = {"modality_trunks.audio.weight": torch.ones(2, dtype=torch.complex128)}
    with pytest.raises(CheckpointError, match=r"w\.safetensors: cannot be written .*complex128"):
        save_state_dict(entries, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["weights.bin", "weights.npz"])
def test_another_suffix_raises_an_error(tmp_path, entries, name):
    with pytest.raises(ValueError, match=rf"{name}: expected a .pth"):
        save_state_dict(entries, tmp_path / name)


@pytest.mark.parametrize("value", [torch.ones(2, device="meta"), torch.ones(2).to_sparse(), 3])
@pytest.mark.parametrize("name", FORMATS)
def test_only_dense_tensors_can_be_saved(tmp_path, name, value):
    with pytest.raises(ValueError, match="expected a dense tensor"):
        save_state_dict({"modality_trunks.audio.weight": value}, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
