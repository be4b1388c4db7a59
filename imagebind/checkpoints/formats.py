"""Read and write state dicts: torch's zip (`.pth`), safetensors, or a folder of safetensors per modality.

The first bytes decide the format of a file. Files are never changed in place but replaced as a whole.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from imagebind.checkpoints.tensors import (
    HEADER_LENGTH_BYTES,
    is_dense,
    read_json,
    read_safetensors,
    read_torch,
    regular_size,
)
from imagebind.errors import CheckpointError
from imagebind.io.atomic import replacing, replacing_all

StateDict = Mapping[str, Tensor]

INDEX_NAME = "model.safetensors.index.json"  # these three names are Hugging Face's
SINGLE_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
TORCH_SUFFIXES = (".pth", ".pt")
SAFETENSORS_SUFFIX = ".safetensors"
MODEL_PARTS = frozenset(
    {"modality_preprocessors", "modality_trunks", "modality_heads", "modality_postprocessors"}
)


def modality_of(name: str) -> str | None:
    """Return the modality in an entry's name, as in `modality_trunks.<modality>.…`, or None."""
    part, _, rest = name.partition(".")
    modality, _, leaf = rest.partition(".")
    return modality if part in MODEL_PARTS and leaf and modality.isidentifier() else None


def group_by_modality(entries: StateDict) -> dict[str, dict[str, Tensor]]:
    """Group entries by modality.

    Raises:
        ValueError: the name of an entry has no modality.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in entries.items():
        modality = modality_of(name)
        if modality is None:
            raise ValueError(
                f"expected a name with a modality, such as modality_trunks.vision.…, got {name!r}"
            )
        groups.setdefault(modality, {})[name] = tensor
    return groups


def read_weights(
    path: Path, modalities: frozenset[str] | None = None, *, mmap: bool = False
) -> dict[str, Tensor]:
    """Return the entries of a file or folder, of all or some modalities, and always those without one.

    With `mmap` they are memory-mapped: fast, but the file must not be changed in place while they are used.

    Raises:
        CheckpointError: missing, incomplete, damaged, or not a plain state dict.
    """
    try:
        if path.is_dir():
            return _read_folder(path, modalities, mmap=mmap)
        regular_size(path)
        with path.open("rb") as file:
            start = file.read(HEADER_LENGTH_BYTES + 1)
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected a weights file, got one that cannot be read ({error.strerror})"
        ) from error
    if start.startswith(b"PK"):
        read = read_torch
    elif start[HEADER_LENGTH_BYTES:] == b"{":
        read = read_safetensors
    else:
        content = (
            "a web page"
            if start.lstrip().startswith(b"<")
            else f"a file that starts with {start!r}"
            if start
            else "an empty file"
        )
        raise CheckpointError(
            f"{path}: expected safetensors, or a file of torch.save since torch 1.6, got {content}"
        )
    try:
        return read(path, lambda name: _is_wanted(name, modalities), mmap=mmap)
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes raise errors of torch, pickle, zip and Python
        raise _damaged(path, error) from error


def write_weights(entries: StateDict, path: Path) -> None:
    """Write one file atomically, in the format of its suffix: `.pth`, `.pt` or `.safetensors`.

    Raises:
        ValueError: another suffix, or entries that are not dense tensors.
        CheckpointError: it cannot be written.
    """
    if path.suffix not in (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX):
        raise ValueError(f"{path}: expected a .pth, .pt or .safetensors file, or a folder")
    with _write_errors(path), replacing(path) as temporary:
        if path.suffix == SAFETENSORS_SUFFIX:
            _write_safetensors(entries, temporary)
        else:
            _write_torch(entries, temporary)


def write_folder(
    groups: Iterable[tuple[str, StateDict]], folder: Path, *, config: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a `<modality>.safetensors` per group, `config.json` if given, and the index; return their paths.

    Either all files are written or none. Groups are consumed one at a time, so that a generator needs to
    keep only one in memory.

    Raises:
        ValueError: entries that are not dense tensors.
        CheckpointError: it cannot be written.
    """
    index = folder / INDEX_NAME
    paths = []
    weight_map: dict[str, str] = {}
    total_size = 0
    with _created_folder(folder), _write_errors(folder), replacing_all() as temporary_for:
        for modality, entries in groups:
            path = folder / f"{modality}{SAFETENSORS_SUFFIX}"
            _write_safetensors(entries, temporary_for(path))
            paths.append(path)
            weight_map |= dict.fromkeys(entries, path.name)
            total_size += sum(tensor.nbytes for tensor in entries.values())
        if config is not None:
            _write_json(config, temporary_for(folder / CONFIG_NAME))
            paths.append(folder / CONFIG_NAME)
        _write_json({"metadata": {"total_size": total_size}, "weight_map": weight_map}, temporary_for(index))
        # Otherwise, if the process is killed, the old index would list a mixture of old and new files.
        index.unlink(missing_ok=True)
    return [*paths, index]


def _is_wanted(name: str, modalities: frozenset[str] | None) -> bool:
    return modalities is None or modality_of(name) is None or modality_of(name) in modalities


def _read_folder(folder: Path, modalities: frozenset[str] | None, *, mmap: bool) -> dict[str, Tensor]:
    index, single = folder / INDEX_NAME, folder / SINGLE_NAME
    if not index.is_file():
        if single.is_file():
            return read_weights(single, modalities, mmap=mmap)
        raise CheckpointError(f"{folder}: expected {INDEX_NAME} or {SINGLE_NAME} in it, got neither")
    files = {name: file for name, file in _weight_map(index).items() if _is_wanted(name, modalities)}
    entries: dict[str, Tensor] = {}
    for file in dict.fromkeys(files.values()):
        in_file = read_weights(folder / file, modalities, mmap=mmap)
        entries |= {name: tensor for name, tensor in in_file.items() if files.get(name) == file}
    for name, file in files.items():
        if name not in entries:
            raise CheckpointError(
                f"{folder / file}: expected {name}, which {INDEX_NAME} lists for it, got a file without it"
            )
    return entries


def _weight_map(index: Path) -> dict[str, str]:
    """Return the file name of each entry; all files must be in the index's folder, never outside."""
    try:
        weight_map = read_json(index)["weight_map"]
        files = set(weight_map.values())
        is_valid = all(Path(file).name == file and file.endswith(SAFETENSORS_SUFFIX) for file in files)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{index}: cannot be read as a safetensors index ({error!r})") from error
    if not is_valid:
        raise CheckpointError(f"{index}: expected safetensors files in the same folder, got {sorted(files)}")
    return weight_map


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: expected a complete state dict, got one that is incomplete, damaged or not only weights "
        f"({path.stat().st_size:,} bytes, {type(error).__name__})"
    )


def _own_memory(entries: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield entries as contiguous CPU tensors, each with its own memory of exactly its size."""
    seen: set[int] = set()
    for name, entry in entries.items():
        if not is_dense(entry):
            raise ValueError(f"{name}: expected a dense tensor with data, got {entry!r:.200}")
        tensor = entry.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(storage.data_ptr())
        yield name, tensor


def _write_torch(entries: StateDict, path: Path) -> None:
    with path.open("wb") as file:
        torch.save(dict(_own_memory(entries)), file)


def _write_safetensors(entries: StateDict, path: Path) -> None:
    path.touch()
    mode = path.stat().st_mode  # according to the umask; save_file makes files private
    save_file(dict(_own_memory(entries)), path, metadata={"format": "pt"})
    path.chmod(mode)


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _created_folder(folder: Path) -> Iterator[None]:
    """Create a folder if there is none; on failure remove it again, if it is empty."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise CheckpointError(
            f"{folder}: expected a writable folder, got one that cannot be created "
            f"({getattr(error, 'strerror', error)})"
        ) from error
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Raise errors of writing as `CheckpointError`."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError, KeyError) as error:
        # RuntimeError: torch on a full disk; KeyError: a dtype that safetensors lacks
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
