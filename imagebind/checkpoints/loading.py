"""Find a checkpoint, load it into a model, save it and convert it; `formats` has the file formats."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from imagebind.checkpoints.download import IMAGEBIND_HUGE, WEIGHTS_LICENCE, download, download_url
from imagebind.checkpoints.formats import (
    StateDict,
    by_modality,
    modality_of,
    read_weights,
    write_folder,
    write_weights,
)
from imagebind.errors import CheckpointError
from imagebind.io.uri import is_http, is_offline, is_uri, path_manager

logger = logging.getLogger(__name__)

Source = str | os.PathLike[str] | None  # None is the released file
Model = TypeVar("Model", bound=nn.Module)

HUB_SCHEME = "hf://"
HUB_REPO = "nielsr/imagebind-huge"  # the released weights as safetensors
SHOWN = 5  # names in an error, of possibly hundreds


def resolve(
    source: Source = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    show_progress: bool = True,
) -> Path:
    """A local file or folder for a source, downloaded where it must be.

    None or the released file's address is `download`; `hf://owner/repo[@revision]` is a repository's
    safetensors in Hugging Face's own cache (or `cache_dir`); another address of the web is kept in ours
    while the server says that it is the same; any other URI is opened by iopath.

    Raises:
        CheckpointError: no such file, or one that cannot be had.
    """
    name = IMAGEBIND_HUGE.url if source is None else os.fspath(source)
    if name == IMAGEBIND_HUGE.url:
        return download(cache_dir=cache_dir, offline=offline, show_progress=show_progress)
    if name.startswith(HUB_SCHEME):
        return _from_hub(name.removeprefix(HUB_SCHEME), cache_dir, offline=is_offline(offline))
    if not is_uri(name):
        path = Path(name).expanduser()
    elif is_http(name):
        path = download_url(name, cache_dir=cache_dir, offline=offline)
    elif is_offline(offline):
        raise CheckpointError(f"{name}: the network is switched off; expected a local file")
    else:
        path = _from_uri(name)
    try:
        path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise CheckpointError(
            f"{name}: no such file ({getattr(error, 'strerror', error)}); expected .pth, "
            ".safetensors, a folder "
            f"of safetensors, {HUB_SCHEME}owner/repo or another URI"
        ) from error
    return path


def read_state_dict(
    source: Source = None, *, modalities: Iterable[str] | None = None, mmap: bool = False
) -> dict[str, Tensor]:
    """The entries of a source by name, as they were saved.

    With `modalities` only theirs are read, and from a folder only their files; entries whose names
    belong to no modality come always. `mmap` maps the file in place of reading it, as in `load_into`.

    Raises:
        CheckpointError: missing, cut short, damaged, or no plain state dict; says which file and why.
    """
    chosen = None if modalities is None else frozenset(map(str, modalities))
    return read_weights(resolve(source), chosen, mmap=mmap)


def load_into(
    model: Model,
    source: Source = None,
    *,
    modalities: Iterable[str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    mmap: bool = False,
) -> Model:
    """Give a model its weights, and return it.

    They are read into memory of their own, and the file may be replaced, overwritten or deleted. `mmap=True`
    maps the file: loading takes a tenth of the time, processes share one copy, and weights that are never
    used are never read. But on the CPU and in the file's dtype the weights then stay in the file, and
    overwriting or truncating it, as `torch.save` to its path does, kills the process.

    The model's own modalities are read, or those in `modalities`, the rest staying as it is. What is read
    must fit exactly. `dtype` (of floating point entries) is the file's by default; `device` that of
    the model, or the CPU for what is on the meta device. `requires_grad` stays the model's.

    Raises:
        CheckpointError: as `read_state_dict`, or names or shapes that are not the model's.
    """
    path = resolve(source)
    own = model.state_dict()
    if modalities is None:
        wanted = own
        chosen = {modality for name in own if (modality := modality_of(name))}
    else:
        chosen = set(map(str, modalities))
        wanted = {name: entry for name, entry in own.items() if modality_of(name) in chosen}
    entries = read_weights(path, frozenset(chosen), mmap=mmap)
    _check_fit(path, entries, wanted)
    placed = {
        name: entries.pop(name).to(  # one at a time, so that a file is never twice in memory
            device=device or ("cpu" if wanted[name].is_meta else wanted[name].device),
            dtype=dtype if wanted[name].is_floating_point() else None,
        )
        for name in list(entries)
    }
    model.load_state_dict(placed, strict=modalities is None, assign=True)
    return model


def save_state_dict(state_dict: StateDict, path: str | os.PathLike[str]) -> None:
    """Write `.pth`, `.pt` or `.safetensors` by suffix, or a folder with one safetensors file a modality.

    Bits are kept. What is there before is replaced only once everything is written.

    Raises:
        ValueError: another suffix, entries that are no dense tensors, or for a folder names of no modality.
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    if path.suffix and not path.is_dir():
        write_weights(state_dict, path)
    else:
        write_folder(by_modality(state_dict).items(), path)


def convert(
    source: Source, folder: str | os.PathLike[str], *, config: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a source as a folder of one safetensors file a modality, so that only what is used is read.

    One modality is in memory at a time. `config` becomes `config.json`. Returns what was written.

    Raises:
        CheckpointError: as `read_state_dict`, names of no modality, or a folder that cannot be written.
    """
    path = resolve(source)
    try:
        modalities = list(by_modality(read_weights(path, mmap=True)))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    groups = ((modality, read_weights(path, frozenset({modality}))) for modality in modalities)
    return write_folder(groups, Path(folder), config=config)


def _check_fit(path: Path, entries: StateDict, wanted: StateDict) -> None:
    """Compare names, shapes and kinds of number.

    Raises:
        CheckpointError: they differ; names a few and says what kind of difference it looks like.
    """
    missing = [name for name in wanted if name not in entries]
    unexpected = [name for name in entries if name not in wanted]
    reshaped = [
        f"{name} is {_shape(entries[name])}, expected {_shape(wanted[name])}"
        for name in wanted
        if name in entries and _shape(entries[name]) != _shape(wanted[name])
    ]
    if not (missing or unexpected or reshaped):
        return
    if len(missing) == len(wanted):
        hint = "It is a file of something else, or its names have a prefix"
    elif reshaped:
        hint = "It is of other sizes: build the model with the config that it was saved with"
    else:
        hint = "It is of another version or was saved incompletely"
    findings = (("lacks", missing), ("has besides", unexpected), ("has otherwise", reshaped))
    raise CheckpointError(
        f"{path} does not fit the model: "
        + "; ".join(f"it {verb} {_some(names)}" for verb, names in findings if names)
        + f". {hint}"
    )


def _shape(tensor: Tensor) -> str:
    number = "" if tensor.is_floating_point() else f" {tensor.dtype}"
    return f"{tuple(tensor.shape)}{number}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _from_hub(address: str, cache_dir: str | os.PathLike[str] | None, *, offline: bool) -> Path:
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
    except Exception as error:  # the hub's, its HTTP client's and the disk's errors have no common parent
        raise CheckpointError(f"{HUB_SCHEME}{address}: {error}") from error
    return Path(folder)


def _from_uri(uri: str) -> Path:
    try:
        return Path(path_manager().get_local_path(uri))
    except Exception as error:  # whatever a registered handler raises
        raise CheckpointError(f"{uri}: cannot be opened ({error})") from error
