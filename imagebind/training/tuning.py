"""What of a model learns: all of it, some trunks, some heads, or low-rank additions to some trunks."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from imagebind.errors import import_extra
from imagebind.models.model import ImageBindModel

if TYPE_CHECKING:
    from peft import PeftModel

# What LoRA is added to in each block. The three input projections of attention are one matrix here.
LORA_LAYERS = ("mlp.fc1", "mlp.fc2")
LORA_MATRICES = ("attn.in_proj_weight",)


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Every trunk with its stem and its head."""


@dataclass(frozen=True, kw_only=True)
class Trunks:
    """Some modalities learn, with their stems and heads; the others are frozen, as in the paper.

    A modality that a subclass of the model adds is named like any other: `Trunks(modalities=("radar",))`.
    """

    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_names(self.modalities)


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Only the heads of some modalities learn: their last norm and projection."""

    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_names(self.modalities)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank additions to attention's input projections and to both layers of the MLPs (2106.09685).

    All else is frozen. The additions are scaled by `alpha / rank`.
    """

    modalities: tuple[str, ...]
    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        _check_names(self.modalities)
        if self.rank < 1:
            raise ValueError(f"rank: expected at least 1, got {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"alpha: expected a positive number, got {self.alpha}")


Learns = Everything | Trunks | Heads | Lora


def learned_modalities(learns: Learns, modalities: Iterable[str]) -> tuple[str, ...]:
    """The modalities of which anything learns, out of all that the model has.

    Raises:
        ValueError: one that the model has not.
    """
    known = tuple(modalities)
    if isinstance(learns, Everything):
        return known
    unknown = [name for name in learns.modalities if name not in known]
    if unknown:
        raise ValueError(f"expected modalities of the model, {', '.join(known)}; got {unknown}")
    return tuple(map(str, learns.modalities))


def freeze_but(model: ImageBindModel, learns: Learns) -> "PeftModel | None":
    """Leave gradients to what learns, in place. With LoRA its layers are added; the handle saves them.

    Postprocessors never learn here: the loss has its own temperature and does not see their scale.

    Raises:
        ValueError: a modality that the model has not.
        MissingExtraError: LoRA without peft.
    """
    chosen = learned_modalities(learns, model.modalities)
    model.requires_grad_(False)
    if isinstance(learns, Lora):
        return _add_lora(model, learns)
    parts: tuple[nn.ModuleDict, ...] = (model.modality_heads,)
    if not isinstance(learns, Heads):
        parts = parts_of(model)
    for part in parts:
        for modality in chosen:
            part[modality].requires_grad_(True)
    return None


def frozen_parts(model: ImageBindModel) -> Iterator[nn.Module]:
    """The stems, trunks and heads of which nothing learns: they are run without dropout or drop path."""
    for part in parts_of(model):
        for module in part.children():
            if not learns_at_all(module):
                yield module


def parts_of(model: ImageBindModel) -> tuple[nn.ModuleDict, nn.ModuleDict, nn.ModuleDict]:
    """The stems, trunks and heads, each by modality."""
    return model.modality_preprocessors, model.modality_trunks, model.modality_heads


def learns_at_all(module: nn.Module) -> bool:
    """Whether anything of a module does."""
    return any(parameter.requires_grad for parameter in module.parameters())


def lora_config(model: nn.Module, learns: Lora) -> Any:
    """peft's `LoraConfig` for a model, its layers named as the model names them.

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
    """The peft package.

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
