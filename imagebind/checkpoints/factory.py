"""Named models and saved ones, with their weights."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from imagebind import config as configs
from imagebind.checkpoints.formats import CONFIG_NAME, by_modality, write_folder
from imagebind.checkpoints.loading import load_into, resolve
from imagebind.checkpoints.tensors import read_json
from imagebind.config import ImageBindConfig
from imagebind.errors import CheckpointError
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

HUGE, TINY = "imagebind_huge", "imagebind_tiny"  # names of models
TINY_FOLDER = Path(__file__).parent.parent / "tiny"  # weights, their card and the log of their training


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
    """The released architecture, 1.2 billion parameters, with the released weights or new ones.

    `pretrained=True` finds or downloads the released file (4.8 GB, CC BY-NC-SA 4.0) and verifies it; a
    string or path is a file, a folder that `imagebind weights convert` made, `hf://owner/repo`, or another
    URI; None is False. With `modalities` only those trunks are built and read. With weights the model comes
    in evaluation mode, without them initialised and in training mode. `mmap` maps the weights file in
    place of reading it: faster, but it must not be overwritten while the model lives (see `load_into`).

    Raises:
        CheckpointError: weights that cannot be had, or are not this model's.
        ValueError: an unknown modality.
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
    """A small model of the same form, with the weights that come in this package or new ones. Ours.

    It was trained on a toy world of coloured shapes (`imagebind.toyworld`) and knows nothing else: for
    trying things out, offline and in seconds. With weights it comes in evaluation mode and, unless `dtype`
    says otherwise, in float32; they are kept in half precision. None is False.

    Raises:
        TypeError: `pretrained` is a path, say.
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
            `save_model` wrote; or a file, folder or URI with weights of the released architecture.
        modalities: those to build and read, by default all that the model has.

    Raises:
        CheckpointError: weights that cannot be read, or of another architecture.
        ValueError: a modality that the model does not have.
    """
    if source == TINY:
        return imagebind_tiny(True, modalities=modalities, dtype=dtype, device=device)
    if (Path(source) / CONFIG_NAME).is_file():
        return load_model(source, modalities=modalities, dtype=dtype, device=device)
    weights = True if source == HUGE else source
    return imagebind_huge(weights, modalities=modalities, dtype=dtype, device=device)


def save_model(
    model: ImageBindModel,
    folder: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model as `load_model` reads it: its sizes, and one safetensors file a modality.

    `state_dict` is given where the model's own is spread over ranks, and was gathered.

    Raises:
        ValueError: entries that are no dense tensors, or names of no modality.
        CheckpointError: the folder cannot be written.
    """
    entries = by_modality(model.state_dict() if state_dict is None else state_dict)
    write_folder(entries.items(), Path(folder), config=model.config.to_dict())


def load_model(
    folder: str | os.PathLike[str],
    *,
    modalities: Iterable[ModalityType | str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    mmap: bool = False,
) -> ImageBindModel:
    """A model of any size that `save_model` wrote, in evaluation mode.

    `mmap` maps its files in place of reading them, as in `load_into`.

    Raises:
        CheckpointError: no such folder, no sizes in it, or weights that do not fit them.
        ValueError: a modality that it has not.
    """
    config = saved_config(folder)
    return _with_weights(config, Path(folder), modalities=modalities, dtype=dtype, device=device, mmap=mmap)


def saved_config(folder: str | os.PathLike[str]) -> ImageBindConfig:
    """The sizes of a model that `save_model` wrote.

    Raises:
        CheckpointError: no such folder, or no sizes in it.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        return ImageBindConfig.from_dict(read_json(path))
    except (CheckpointError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error!r:.500}); expected the sizes of a saved model"
        ) from error


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
        raise CheckpointError(f"{path}: no model has these sizes ({error!r:.200})") from error
    return load_into(model, path, dtype=dtype, device=device, mmap=mmap).eval()
