"""Add a modality to a model: the new model shares all existing modules with it."""

import copy
import re

import torch
from torch import nn

from imagebind.config import AudioConfig, ImuConfig, MultiChannelConfig, OneChannelConfig, check_trunk
from imagebind.modality import BoundModality, MediaKind, ModalityType
from imagebind.models.builders import build_bound
from imagebind.models.model import ImageBindModel, init_weights

BoundConfig = OneChannelConfig | MultiChannelConfig | AudioConfig | ImuConfig
MODULE_DICTS = ("modality_preprocessors", "modality_trunks", "modality_heads", "modality_postprocessors")
DEFAULT_LOGIT_SCALE = 10.0  # 1 / temperature; that of thermal in the released model


def with_modality(
    model: ImageBindModel,
    name: str,
    sizes: BoundConfig,
    *,
    logit_scale: float = DEFAULT_LOGIT_SCALE,
    device: torch.device | str | None = None,
) -> ImageBindModel:
    """Return a model with one more modality, newly initialised; it shares all other modules with `model`.

    `model` is not changed, and no parameters are frozen. To train only the new modules, call
    `model.requires_grad_(False)` first.

    Args:
        name: the key of the new modality in inputs, outputs and checkpoints.
        sizes: a `OneChannelConfig` for square images of one channel, a `MultiChannelConfig` for square images
            of several, an `AudioConfig` for maps of two axes, such as spectrograms, or an `ImuConfig` for
            several channels of samples.
        logit_scale: fixed scale of its embeddings in `forward`, 1 / temperature; above 100 it acts as 100.
        device: the device of the new modules, by default that of the model; on "meta" they have no weights.

    Raises:
        ValueError: the name is not allowed, the model already has this modality, a size is out of bounds or
            not the required multiple of another, or `logit_scale` is not positive and finite.
        TypeError: `sizes` is of another class, or a size has the wrong type.
    """
    modality = bound_modality(name)
    if name in model.modalities:
        raise ValueError(f"modality: expected a new name, got {name!r}, which the model has")
    if isinstance(sizes, BoundConfig):  # `build_bound` refuses other classes
        check_trunk(name, sizes)
    with torch.device("meta"):
        modules = build_bound(modality, sizes, model.config.embed_dim, logit_scale=logit_scale)
    parameter = next(model.parameters())
    extended = copy.copy(model)
    extended._modules = dict(model._modules)
    for part, module in zip(MODULE_DICTS, modules, strict=True):
        if device is None or torch.device(device).type != "meta":
            module.to_empty(device=parameter.device if device is None else device)
            init_weights(module)
            module.to(parameter.dtype)
        others = getattr(model, part)
        together = nn.ModuleDict({**others, name: module})
        together.training = others.training  # not train(), which would change the shared modules
        extended._modules[part] = together
    return extended


def modules_of(model: ImageBindModel, modality: str) -> tuple[nn.Module, ...]:
    """Return the four modules of a modality: stem, trunk, head and postprocessor."""
    return tuple(getattr(model, part)[modality] for part in MODULE_DICTS)


def bound_modality(name: str) -> BoundModality:
    """Return the modality with a name that a user chose.

    Raises:
        ValueError: the name is not a lower-case identifier of at most 40 characters, is that of a modality or
            media type of the library, or is an attribute of `nn.ModuleDict`.
    """
    taken = {*map(str, ModalityType), *map(str, MediaKind)}
    is_name = isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name)
    if not is_name or name in taken or hasattr(nn.ModuleDict, name):
        raise ValueError(
            f"modality: expected a new name of lower-case letters, digits and _, got {name!r:.80}"
        )
    return BoundModality(name)
