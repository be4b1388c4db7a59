"""Find a checkpoint, load it into a model, save it and convert it. File formats are in `formats`."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from imagebind.checkpoints.download import IMAGEBIND_HUGE, WEIGHTS_LICENCE, download
from imagebind.checkpoints.formats import (
    StateDict,
    group_by_modality,
    modality_of,
    read_weights,
    write_folder,
    write_weights,
)
from imagebind.errors import CheckpointError
from imagebind.io.local_copy import CacheDir, home_path
from imagebind.io.uri import OfflineError, is_offline, is_uri, local_copy

logger = logging.getLogger(__name__)

WeightsSource = str | os.PathLike[str] | None  # None means the released file
Model = TypeVar("Model", bound=nn.Module)

HUB_SCHEME = "hf://"
HUB_REPO = "nielsr/imagebind-huge"  # the released weights as safetensors
MAX_NAMES_SHOWN = 5  # in an error message


def resolve(
    source: WeightsSource = None,
    *,
    cache_dir: CacheDir = None,
    offline: bool | None = None,
    show_progress: bool = True,
) -> Path:
    """Return the local file or folder of a source, downloaded if necessary.

    For None or the released file's URL, `download` is called; `hf://owner/repo[@revision]` means the
    safetensors files of a repository, in Hugging Face's cache (or `cache_dir`); files and folders at other
    URIs are cached until they change, see `local_copy`.

    Raises:
        CheckpointError: the file cannot be found or downloaded.
    """
    name = IMAGEBIND_HUGE.url if source is None else os.fspath(source)
    if name == IMAGEBIND_HUGE.url:
        return download(cache_dir=cache_dir, offline=offline, show_progress=show_progress)
    if name.startswith(HUB_SCHEME):
        return _from_hub(name.removeprefix(HUB_SCHEME), cache_dir, offline=is_offline(offline))
    try:
        path = _from_uri(name, cache_dir, offline) if is_uri(name) else home_path(name)
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # a null character in the name, or no home folder
        raise CheckpointError(
            f"{name}: no such file ({getattr(error, 'strerror', error)}); pass a .pth or .safetensors file, "
            f"a folder of safetensors, {HUB_SCHEME}owner/repo or another URI"
        ) from error
    return path


def read_state_dict(
    source: WeightsSource = None, *, modalities: Iterable[str] | None = None, mmap: bool = False
) -> dict[str, Tensor]:
    """Return the entries of a source by name, as they were saved.

    With `modalities` only their entries are read, and only their files of a folder; entries without a
    modality are always read. `mmap` maps the file instead of reading it, as in `load_into`.

    Raises:
        CheckpointError: missing, incomplete, damaged, or not a plain state dict; says which file and why.
    """
    selected = None if modalities is None else frozenset(map(str, modalities))
    return read_weights(resolve(source), selected, mmap=mmap)


def load_into(
    model: Model,
    source: WeightsSource = None,
    *,
    modalities: Iterable[str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    mmap: bool = False,
) -> Model:
    """Load weights into a model, and return the model.

    The weights are copied to memory, so that the file may be replaced, overwritten or deleted later.
    `mmap=True` maps the file: loading takes a tenth of the time, processes share one copy, and unused weights
    are never read. But on the CPU, in the file's dtype, the weights then stay in the file, and overwriting or
    truncating it (`torch.save` to its path does) kills the process.

    All modalities of the model are loaded, or only `modalities`; the others are unchanged. Names and shapes
    must match exactly. `dtype` (of floating point entries) defaults to the file's, and `device` to the
    model's, or the CPU for tensors on the meta device. `requires_grad` is unchanged.

    Raises:
        CheckpointError: as `read_state_dict`, or names or shapes that differ from the model's.
        ValueError: `dtype` is not floating point.
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype: expected a floating point dtype such as torch.float16, got {dtype!r}")
    path = resolve(source)
    own = model.state_dict()
    if modalities is None:
        expected = own
        selected = {modality for name in own if (modality := modality_of(name))}
    else:
        selected = set(map(str, modalities))
        expected = {name: entry for name, entry in own.items() if modality_of(name) in selected}
    entries = read_state_dict(path, modalities=selected, mmap=mmap)
    _check_fit(path, entries, expected)
    moved = {
        name: entries.pop(name).to(  # one at a time, so that memory holds one copy
            device=device or ("cpu" if expected[name].is_meta else expected[name].device),
            dtype=dtype if expected[name].is_floating_point() else None,
        )
        for name in list(entries)
    }
    model.load_state_dict(moved, strict=modalities is None, assign=True)
    return model


def save_state_dict(state_dict: StateDict, path: str | os.PathLike[str]) -> None:
    """Write `.pth`, `.pt` or `.safetensors` by suffix, or a folder with one safetensors file per modality.

    Values are kept bit for bit. Existing files are replaced only when everything is written.

    Raises:
        ValueError: another suffix, entries that are not dense tensors, or, for a folder, names without a
            modality.
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    if path.suffix and not path.is_dir():
        write_weights(state_dict, path)
    else:
        write_folder(group_by_modality(state_dict).items(), path)


def convert(
    source: WeightsSource, folder: str | os.PathLike[str], *, config: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a source as a folder of one safetensors file per modality; return the paths of the files.

    One modality is in memory at a time. `config` is written as `config.json`.

    Raises:
        CheckpointError: as `read_state_dict`, names without a modality, or a folder that cannot be written.
    """
    path = resolve(source)
    try:
        modalities = list(group_by_modality(read_state_dict(path, mmap=True)))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    groups = ((modality, read_state_dict(path, modalities=[modality])) for modality in modalities)
    return write_folder(groups, Path(folder), config=config)


def _check_fit(path: Path, entries: StateDict, expected: StateDict) -> None:
    """Compare names and shapes, and dtypes other than floating point.

    Raises:
        CheckpointError: they differ; the message lists some differences and the likely cause.
    """
    missing = [name for name in expected if name not in entries]
    unexpected = [name for name in entries if name not in expected]
    reshaped = [
        f"{name}: expected {_shape(expected[name])}, got {_shape(entries[name])}"
        for name in expected
        if name in entries and _shape(entries[name]) != _shape(expected[name])
    ]
    if not (missing or unexpected or reshaped):
        return
    if len(missing) == len(expected):
        hint = "The file has another model, or its names have a prefix"
    elif reshaped:
        hint = "The file has other sizes: build the model with the config that it was saved with"
    else:
        hint = "The file has another version of the model, or was saved incompletely"
    problems = (("missing", missing), ("unexpected", unexpected), ("different", reshaped))
    raise CheckpointError(
        f"{path}: does not fit the model: "
        + "; ".join(f"{problem} {_first_names(names)}" for problem, names in problems if names)
        + f". {hint}"
    )


def _shape(tensor: Tensor) -> str:
    dtype = "" if tensor.is_floating_point() else f" {tensor.dtype}"
    return f"{tuple(tensor.shape)}{dtype}"


def _first_names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _from_hub(address: str, cache_dir: CacheDir, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = address.partition("@")
    if repo == HUB_REPO:
        logger.info(WEIGHTS_LICENCE)
    try:
        folder = snapshot_download(
            repo,
            revision=revision or None,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            allow_patterns=["*.safetensors", "*.json"],
            local_files_only=offline,
        )
    except Exception as error:  # hub, HTTP and file system errors have no common base
        raise CheckpointError(f"{HUB_SCHEME}{address}: {error}") from error
    return Path(folder)


def _from_uri(uri: str, cache_dir: CacheDir, offline: bool | None) -> Path:
    try:
        return local_copy(uri, cache_dir=cache_dir, offline=offline)
    except OfflineError as error:
        raise CheckpointError(f"{uri}: {error}; pass a local file") from error
    except OSError as error:
        raise CheckpointError(f"{uri}: cannot be downloaded ({error.strerror})") from error
