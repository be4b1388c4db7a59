"""Build named models and load saved ones, with their weights."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from imagebind import config as configs
from imagebind.checkpoints.formats import CONFIG_NAME, group_by_modality, write_folder
from imagebind.checkpoints.loading import HUB_SCHEME, load_into, resolve
from imagebind.checkpoints.tensors import read_json
from imagebind.config import ImageBindConfig
from imagebind.errors import CheckpointError
from imagebind.io.local_copy import home_path
from imagebind.io.uri import is_uri
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

HUGE, TINY = "imagebind_huge", "imagebind_tiny"  # names of models
TINY_FOLDER = Path(__file__).parent.parent / "tiny"  # weights, model card and training log


def imagebind_huge(
    pretrained: bool | str | os.PathLike[str] | None = False,
    *,
    modalities: Iterable[ModalityType | str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    show_progress: bool = True,
    mmap: bool = False,
) -> ImageBindModel:
    """Return the released architecture (1.2 billion parameters), with released, other or new weights.

    `pretrained=True` finds or downloads the released file (4.8 GB, CC BY-NC-SA 4.0) and verifies it; a
    string or path names a file, a folder written by `imagebind weights convert`, `hf://owner/repo`, or
    another URI; None means False. With `modalities`, only those trunks are built and read. A model with
    loaded weights is in evaluation mode, one with new weights is initialised and in training mode. `mmap`
    maps the weights file instead of reading it: faster, but the file must not be overwritten while the model
    exists (see `load_into`). By default `dtype` is the file's and `device` the CPU, or torch's defaults for
    new weights. `cache_dir` and `offline` are as in `download`.

    Raises:
        CheckpointError: the weights cannot be found or downloaded, or do not fit this model.
        ValueError: an unknown modality, or a `dtype` of loaded weights that is not floating point.
    """
    config = configs.huge_config()
    if pretrained is None or pretrained is False:
        return ImageBindModel(config, modalities=modalities, device=device, dtype=dtype)
    path = resolve(
        None if pretrained is True else pretrained,
        cache_dir=cache_dir,
        offline=offline,
        show_progress=show_progress,
    )
    return _with_weights(config, path, modalities=modalities, dtype=dtype, device=device, mmap=mmap)


def imagebind_tiny(
    pretrained: bool | None = False,
    *,
    modalities: Iterable[ModalityType | str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> ImageBindModel:
    """Return a small model of the same architecture, with the weights in this package or new ones.

    It was trained only on a toy world of coloured shapes (`imagebind.toyworld`), for trying things out
    offline and in seconds. With loaded weights it is in evaluation mode and, unless `dtype` is given, in
    float32; the file stores half precision. `pretrained=None` means False. Source: ours.

    Raises:
        TypeError: `pretrained` is not a boolean, such as a path.
        ValueError: an unknown modality.
    """
    if not isinstance(pretrained, bool | None):
        raise TypeError(
            f"pretrained: expected True or False, got {pretrained!r:.80}; "
            "load_model loads a saved model of any size"
        )
    if not pretrained:
        return ImageBindModel(configs.tiny_config(), modalities=modalities, device=device, dtype=dtype)
    return load_model(TINY_FOLDER, modalities=modalities, dtype=dtype or torch.float32, device=device)


def list_models() -> list[str]:
    """Return the names of models that come with weights, for `pretrained_model` and `Embedder`."""
    return [HUGE, TINY]


def pretrained_model(
    source: str | os.PathLike[str],
    *,
    modalities: Iterable[ModalityType | str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> ImageBindModel:
    """Return a model with weights, in evaluation mode.

    Args:
        source: "imagebind_huge", the released weights, downloaded once; "imagebind_tiny"; a folder that
            `save_model` wrote; or a file or folder with weights of the released architecture. Files and
            folders may be URIs.
        modalities: those to build and read, by default all that the model has.

    Raises:
        CheckpointError: the weights cannot be found, downloaded or read, or do not fit the model.
        ValueError: a modality that the model does not have, or a `dtype` that is not floating point.
    """
    if source == TINY:
        return imagebind_tiny(True, modalities=modalities, dtype=dtype, device=device)
    if is_saved_model(source):
        return load_model(source, modalities=modalities, dtype=dtype, device=device)
    weights = True if source == HUGE else source
    return imagebind_huge(weights, modalities=modalities, dtype=dtype, device=device)


def save_model(
    model: ImageBindModel,
    folder: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model for `load_model`: its sizes, and one safetensors file per modality.

    Pass a gathered `state_dict` if the model's own is sharded over ranks.

    Raises:
        ValueError: an entry is not a dense tensor, or its name has no modality.
        CheckpointError: the folder cannot be written.
    """
    entries = group_by_modality(model.state_dict() if state_dict is None else state_dict)
    write_folder(entries.items(), Path(folder), config=model.config.to_dict())


def load_model(
    folder: str | os.PathLike[str],
    *,
    modalities: Iterable[ModalityType | str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    mmap: bool = False,
) -> ImageBindModel:
    """Load a model that `save_model` wrote, in evaluation mode.

    `mmap` maps its files instead of reading them, as in `load_into`.

    Raises:
        CheckpointError: no such folder, no sizes in it, or weights that do not fit them.
        ValueError: a modality that the model does not have, or a `dtype` that is not floating point.
    """
    config = saved_config(folder)
    return _with_weights(config, _local(folder), modalities=modalities, dtype=dtype, device=device, mmap=mmap)


def is_saved_model(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a folder with a model's sizes, as `save_model` writes it.

    A repository of Hugging Face is not one: other libraries write a `config.json` there, too.
    """
    if os.fspath(source).startswith(HUB_SCHEME):
        return False
    try:
        return (_local(source) / CONFIG_NAME).is_file()
    except (OSError, RuntimeError):  # a name that is too long, or no home folder; `resolve` says so
        return False


def saved_config(folder: str | os.PathLike[str]) -> ImageBindConfig:
    """Return the sizes of a model that `save_model` wrote.

    Raises:
        CheckpointError: no such folder, or no sizes in it.
    """
    path = _local(folder) / CONFIG_NAME
    try:
        return ImageBindConfig.from_dict(read_json(path))
    except (CheckpointError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: expected the sizes of a saved model, got a file that cannot be read ({error!r:.500})"
        ) from error


def _local(folder: str | os.PathLike[str]) -> Path:
    return resolve(folder) if is_uri(os.fspath(folder)) else home_path(folder)


def _with_weights(
    config: ImageBindConfig,
    path: Path,
    *,
    modalities: Iterable[ModalityType | str] | None,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    mmap: bool,
) -> ImageBindModel:
    try:
        model = ImageBindModel(config, modalities=modalities, device="meta")
    except (RuntimeError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: a model of these sizes cannot be built ({error!r:.200})") from error
    return load_into(model, path, dtype=dtype, device=device, mmap=mmap).eval()
