"""Selects the trainable parameters of a model: everything, some trunks, some heads, or LoRA."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from imagebind.checks import check_positive, check_whole
from imagebind.errors import import_extra
from imagebind.models.model import ImageBindModel

if TYPE_CHECKING:
    from peft import PeftModel

# Layers and parameters of each block that get LoRA. The three input projections of attention are one matrix.
LORA_LAYERS = ("mlp.fc1", "mlp.fc2")
LORA_MATRICES = ("attn.in_proj_weight",)


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Every trunk is trainable, with its stem and its head."""


@dataclass(frozen=True, kw_only=True)
class Trunks:
    """The trunks of some modalities are trainable, with their stems and heads; others are frozen (paper).

    It also takes modalities that a subclass of the model adds: `Trunks(modalities=("radar",))`.
    """

    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_names(self.modalities)


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Only the heads of some modalities are trainable: their last norm and projection."""

    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_names(self.modalities)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """LoRA on attention's input projections and on both layers of the MLPs (arXiv 2106.09685).

    Everything else is frozen. The low-rank updates are scaled by `alpha / rank`.
    """

    modalities: tuple[str, ...]
    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        _check_names(self.modalities)
        check_whole(1, rank=self.rank)
        check_positive(alpha=self.alpha)


Learns = Everything | Trunks | Heads | Lora


def trainable_modalities(learns: Learns, modalities: Iterable[str]) -> tuple[str, ...]:
    """Return the modalities with trainable parameters, given all modalities of the model.

    Raises:
        ValueError: the model lacks a selected modality.
    """
    known = tuple(modalities)
    if isinstance(learns, Everything):
        return known
    unknown = [name for name in learns.modalities if name not in known]
    if unknown:
        raise ValueError(f"modalities: expected modalities of the model ({', '.join(known)}), got {unknown}")
    return tuple(map(str, learns.modalities))


def freeze_but(model: ImageBindModel, learns: Learns) -> "PeftModel | None":
    """Freeze all parameters except those selected for training, in place.

    With LoRA its layers are added to the model, and the returned `PeftModel` can save them. Postprocessors
    are always frozen: the loss has its own temperature and does not use their scale.

    Raises:
        ValueError: the model lacks a selected modality.
        MissingExtraError: LoRA needs peft, which is not installed.
    """
    chosen = trainable_modalities(learns, model.modalities)
    model.requires_grad_(False)
    if isinstance(learns, Lora):
        return _add_lora(model, learns)
    selected: tuple[nn.ModuleDict, ...] = (model.modality_heads,)
    if not isinstance(learns, Heads):
        selected = modules_by_modality(model)
    for modules in selected:
        for modality in chosen:
            modules[modality].requires_grad_(True)
    return None


def frozen_modules(model: ImageBindModel) -> Iterator[nn.Module]:
    """Yield the stems, trunks and heads without trainable parameters."""
    for modules in modules_by_modality(model):
        for module in modules.children():
            if not is_trainable(module):
                yield module


def modules_by_modality(model: ImageBindModel) -> tuple[nn.ModuleDict, nn.ModuleDict, nn.ModuleDict]:
    """Return the stems, trunks and heads, each keyed by modality."""
    return model.modality_preprocessors, model.modality_trunks, model.modality_heads


def is_trainable(module: nn.Module) -> bool:
    """Whether a module has trainable parameters."""
    return any(parameter.requires_grad for parameter in module.parameters())


def lora_config(model: nn.Module, learns: Lora) -> Any:
    """Return peft's `LoraConfig` with the names of a model's layers.

    Raises:
        MissingExtraError: peft is not installed.
    """
    peft = import_peft()
    trunks = "|".join(re.escape(str(modality)) for modality in learns.modalities)
    layers = "|".join(map(re.escape, LORA_LAYERS))
    matrices = re.compile(rf"modality_trunks\.({trunks})\..*({'|'.join(map(re.escape, LORA_MATRICES))})")
    return peft.LoraConfig(
        r=learns.rank,
        lora_alpha=learns.alpha,
        target_modules=rf"modality_trunks\.({trunks})\..*\.({layers})",
        target_parameters=[name for name, _ in model.named_parameters() if matrices.fullmatch(name)],
    )


def import_peft() -> Any:
    """Import and return peft.

    Raises:
        MissingExtraError: it is not installed.
    """
    return import_extra("peft", extra="train", purpose="LoRA")


def _add_lora(model: ImageBindModel, learns: Lora) -> "PeftModel":
    return import_peft().get_peft_model(model, lora_config(model, learns))


def _check_names(modalities: tuple[str, ...]) -> None:
    if isinstance(modalities, str) or not modalities:
        raise ValueError(f'modalities: expected a tuple of names such as ("audio",), got {modalities!r}')
    if len(set(map(str, modalities))) < len(modalities):
        raise ValueError(f"modalities: expected each name once, got {modalities}")
