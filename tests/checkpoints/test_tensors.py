"""Weight files: mapped or read, changed meanwhile, and crafted to cause errors."""

import json
import os
import pickle
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from imagebind.checkpoints import tensors as weights_file
from imagebind.checkpoints.factory import TINY_FOLDER, imagebind_huge, imagebind_tiny, load_model, save_model
from imagebind.checkpoints.formats import CONFIG_NAME, INDEX_NAME
from imagebind.checkpoints.loading import convert, load_into, read_state_dict
from imagebind.errors import CheckpointError

NAMES = ("modality_trunks.text.a", "modality_trunks.text.b", "modality_heads.audio.c")

# Run in a separate process, which a truncated mapped file would kill.
WRITE_OVER = """
import os, shutil, sys, torch
from imagebind.checkpoints.loading import read_state_dict, save_state_dict
for path, other, action in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    entries = read_state_dict(path)
    before = {name: tensor.clone() for name, tensor in entries.items()}
    if action == "save":
        torch.save(entries, path) if path.endswith(".pth") else save_state_dict(entries, path)
        assert all(torch.equal(tensor, before[name]) for name, tensor in read_state_dict(path).items())
    elif action == "replace":
        os.replace(other, path)
    elif action == "overwrite":
        shutil.copyfile(other, path)
    elif action == "truncate":
        os.truncate(path, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in entries.items()), action
print("unchanged")
"""


def entries_of(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(64, 1000, generator=generator) for name in NAMES}


def write(entries: dict[str, torch.Tensor], path: Path) -> Path:
    from safetensors.torch import save_file

    if path.suffix == ".pth":
        torch.save(entries, path)
    else:
        save_file(entries, path)
    return path


def test_loaded_weights_do_not_depend_on_later_changes_of_the_file(tmp_path):
    arguments = []
    for suffix in (".pth", ".safetensors"):
        for action in ("save", "replace", "overwrite", "truncate"):
            path = write(entries_of(1), tmp_path / f"{action}{suffix}")
            other = write(entries_of(2), tmp_path / f"other-{action}{suffix}")
            arguments += [str(path), str(other), action]
    done = subprocess.run(
        [sys.executable, "-c", WRITE_OVER, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "unchanged"), done.stderr[-500:]


@pytest.mark.huge
def test_a_huge_model_can_be_saved_to_the_file_it_was_loaded_from(tmp_path):
    path = tmp_path / "imagebind_huge.pth"
    torch.save(imagebind_huge().state_dict(), path)
    model = imagebind_huge(path)
    sums = {name: tensor.double().sum() for name, tensor in model.state_dict().items()}
    torch.save(model.state_dict(), path)
    again = imagebind_huge(path)
    for name, tensor in again.state_dict().items():
        assert tensor.double().sum() == sums[name]
        assert torch.equal(tensor, model.state_dict()[name])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("modalities", [None, ["text"]])
def test_mapped_and_read_weights_are_the_same(tmp_path, suffix, modalities):
    base = torch.arange(60.0).reshape(6, 10)
    entries = {
        NAMES[0]: base if suffix == ".safetensors" else base.mT,
        NAMES[1]: torch.tensor(3, dtype=torch.int64),
        NAMES[2]: torch.empty(0, 3, dtype=torch.bfloat16),
    }
    if suffix == ".pth":
        entries["modality_trunks.text.view"] = base[2:, 3:]
    path = write(entries, tmp_path / f"w{suffix}")
    mapped = read_state_dict(path, modalities=modalities, mmap=True)
    own = read_state_dict(path, modalities=modalities)
    assert list(mapped) == list(own) and len(own) > 1
    for name, tensor in own.items():
        assert tensor.dtype == mapped[name].dtype and torch.equal(tensor, mapped[name])
        assert torch.equal(tensor, entries[name])


def test_torch_without_storage_offsets_reads_the_same_values(tmp_path, monkeypatch):
    path = write(entries_of(1), tmp_path / "w.pth")
    monkeypatch.setattr(weights_file, "_storage_spans", lambda *_: {})
    assert all(torch.equal(tensor, entries_of(1)[name]) for name, tensor in read_state_dict(path).items())


def test_a_file_that_changes_during_the_read_raises_an_error(tmp_path, monkeypatch):
    path = write(entries_of(1), tmp_path / "w.pth")
    read = weights_file._read_span

    def cut(file, start, size):
        os.truncate(path, 1000)
        return read(file, start, size)

    monkeypatch.setattr(weights_file, "_read_span", cut)
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_state_dict(path)


# Only regular files, of bounded sizes


@pytest.mark.parametrize("name", ["w.pth", CONFIG_NAME, INDEX_NAME, "text.safetensors"])
@pytest.mark.parametrize("file_type", ["fifo", "zero", "socket", "folder"])
def test_only_regular_files_are_read(tmp_path, name, file_type, monkeypatch):
    folder = tmp_path / "m"
    shutil.copytree(TINY_FOLDER, folder)
    (folder / name).unlink(missing_ok=True)
    monkeypatch.chdir(folder)  # a socket's path must be short
    listener = socket.socket(socket.AF_UNIX)
    if file_type == "fifo":
        os.mkfifo(name)
    elif file_type == "zero":
        Path(name).symlink_to("/dev/zero")
    elif file_type == "socket":
        listener.bind(name)
    else:
        Path(name).mkdir()
    with listener, pytest.raises(CheckpointError):
        if name == "w.pth":
            read_state_dict(folder / name)
        else:
            load_model(folder)


def test_a_config_and_an_index_have_a_maximum_length(tmp_path):
    shutil.copytree(TINY_FOLDER, tmp_path / "m")
    for name in (CONFIG_NAME, INDEX_NAME):
        whole = (tmp_path / "m" / name).read_bytes()
        (tmp_path / "m" / name).write_bytes(whole + b" " * weights_file.MAX_JSON_BYTES)
        with pytest.raises(CheckpointError, match=f"{name}.*at most"):
            load_model(tmp_path / "m")
        (tmp_path / "m" / name).write_bytes(whole)
    load_model(tmp_path / "m")


def test_a_safetensors_header_that_is_too_long_raises_an_error(tmp_path):
    path = tmp_path / "w.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 99_000_000) + b"{")
        file.truncate(99_000_100)  # a sparse file
    with pytest.raises(CheckpointError, match=r"w\.safetensors: expected a header"):
        read_state_dict(path)


def test_compressed_records_raise_an_error(tmp_path):
    source = write(entries_of(1), tmp_path / "w.pth")
    with zipfile.ZipFile(source) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, bytes(50_000_000) if name.endswith("data/0") else content)
    for mmap in (False, True):
        with pytest.raises(CheckpointError, match=r"bomb\.pth.*' compressed"):
            read_state_dict(bomb, mmap=mmap)


def test_a_tensor_that_repeats_its_bytes_is_not_expanded_to_gigabytes(tmp_path):
    entries = {NAMES[0]: torch.zeros(1).expand(1_000_000_000)}
    path = write(entries, tmp_path / "w.pth")
    for mmap in (False, True):
        with pytest.raises(
            CheckpointError, match=r"w\.pth: expected entries of at most .*, got 4,000,000,000"
        ):
            read_state_dict(path, mmap=mmap)
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        convert(path, tmp_path / "out")


# Invalid folders

INVALID_SIZES = (
    0,
    -1,
    1,
    3,
    10**9,
    3 * 10**12,
    10**400,
    2**63,
    0.5,
    1e308,
    "128",
    "",
    None,
    True,
    [],
    {},
    [[128]],
)


def write_invalid(folder: Path, valid_folder: Path, rng: random.Random) -> None:
    """Write a folder of weights with one changed file, and links to the others."""
    folder.mkdir()
    for file in valid_folder.iterdir():
        (folder / file.name).symlink_to(file)
    fault = rng.choice(["size", "json", "index", "bytes", "header", "pickle"])
    name = {"size": CONFIG_NAME, "json": CONFIG_NAME, "index": INDEX_NAME}.get(fault, "imu.safetensors")
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if fault == "size":
        sizes = json.loads(content)
        part = rng.choice([sizes, *(value for value in sizes.values() if isinstance(value, dict))])
        part[rng.choice([*part, "other"])] = rng.choice([*INVALID_SIZES, float("nan"), float("inf")])
        content = json.dumps(sizes).encode()
    elif fault == "json":
        content = rng.choice(
            [b"", b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b"1" * 5000, content[:-9], b"null"]
        )
    elif fault == "index":
        index = json.loads(content)
        key = rng.choice([*index["weight_map"]])
        index["weight_map"][key] = rng.choice(["../x", "/dev/zero", 3, None, [], "none.safetensors", ""])
        content = json.dumps(index).encode()
    elif fault == "bytes":
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(3000)] = rng.randrange(256)
        content = bytes(damaged)[: rng.choice([None, rng.randrange(len(content))])]
    elif fault == "header":
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        entry = header[rng.choice([key for key in header if key != "__metadata__"])]
        if rng.random() < 0.5:
            entry["shape"] = [rng.choice([0, -1, 2**40, 2**64, 1.5, "3"]) for _ in entry["shape"]]
        else:
            entry["data_offsets"] = [rng.choice([0, -8, 2**40, 2**64, 8]) for _ in range(2)]
        changed = json.dumps(header).encode()
        content = struct.pack("<Q", len(changed)) + changed + content[8 + length :]
    else:
        content = rng.choice(
            [pickle.dumps({"a": 1}), b"PK\x03\x04" + content[:1000], b"PK\x05\x06" + bytes(18)]
        )
    (folder / name).write_bytes(content)


def test_two_hundred_invalid_folders_are_loaded_or_raise_errors_within_seconds(tmp_path):
    resource = pytest.importorskip("resource")
    valid_folder = tmp_path / "valid"
    save_model(imagebind_tiny(modalities=["imu"]), valid_folder)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for seed in range(200):
        folder = tmp_path / str(seed)
        write_invalid(folder, valid_folder, random.Random(seed))
        start = time.process_time()
        try:
            load_model(folder)
        except CheckpointError as error:
            refused += 1
            assert "imu.safetensors" in str(error) or str(folder) in str(error), seed
        assert time.process_time() - start < 10, seed
    assert refused > 150
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base < 1_000_000  # in kB


def test_a_model_of_another_size_raises_an_error_before_memory_is_allocated(tmp_path):
    shutil.copytree(TINY_FOLDER, tmp_path / "m")
    sizes = json.loads((tmp_path / "m" / CONFIG_NAME).read_text())
    for key, value in (("embed_dim", 2**20), ("num_blocks", 256), ("vocab_size", 2**20)):
        changed = sizes | {"text": sizes["text"] | {key: value}}
        (tmp_path / "m" / CONFIG_NAME).write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match="does not fit"):
            load_model(tmp_path / "m")


def test_a_loaded_model_is_unchanged_when_its_file_is_overwritten(tmp_path):
    module = torch.nn.Module()
    module.modality_heads = torch.nn.ModuleDict({"text": torch.nn.Linear(3, 2)})
    path = write(module.state_dict(), tmp_path / "w.pth")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.save(load_into(module, path).state_dict(), path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in torch.load(path).items())


@pytest.mark.parametrize("put", [b"q\x01h\x01", b"p1\ng1\n", b"2", b"\x94h\x00"])
def test_deeply_nested_tuples_raise_an_error_that_states_the_limit(tmp_path, put):
    with_itself = put + b"\x86"  # pushes the tuple again, and makes a pair of both
    for count, refused in ((8, False), (60, True)):
        path = tmp_path / f"{count}.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/byteorder", "big")  # must be swapped on most machines
            archive.writestr("archive/data.pkl", b"\x80\x02})" + with_itself * count + b"K\x01s.")
            archive.writestr("archive/version", "3\n")
        with pytest.raises(CheckpointError) as caught:
            read_state_dict(path)
        assert ("at most 8 levels of nested tuples" in str(caught.value)) == refused
