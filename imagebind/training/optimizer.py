"""AdamW over the trainable parameters, with weight decay on matrices only, and its learning rate by step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from imagebind.checks import check_not_negative, check_positive, check_whole

# Learned rows that are added or concatenated to tokens, and scales; decaying them to zero has no benefit.
UNDECAYED_NAMES = frozenset({"cls_token", "pos_embed", "bias_k", "bias_v", "log_logit_scale"})
MATRIX_NDIM = 2  # biases and the parameters of norms are vectors


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Settings of the optimiser; the betas are the paper's (Table 9).

    Gradients with a norm above `clip_grad_norm` are scaled to it; None turns this off.
    """

    lr: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    clip_grad_norm: float | None = 1.0

    def __post_init__(self) -> None:
        check_positive(lr=self.lr)
        check_not_negative(weight_decay=self.weight_decay, eps=self.eps)
        is_pair = isinstance(self.betas, tuple | list) and len(self.betas) == 2
        if not is_pair or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {self.betas}")
        if self.clip_grad_norm not in (None, math.inf):  # both mean that gradients are not clipped
            check_positive(clip_grad_norm=self.clip_grad_norm)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate schedule: linear warm-up, then half a cosine down to zero.

    A pure function of the step, so there is no scheduler state, and a resumed run only needs its step.
    """

    total_steps: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        check_whole(1, total_steps=self.total_steps)
        check_whole(0, warmup_steps=self.warmup_steps)
        if self.warmup_steps >= self.total_steps:
            raise ValueError(
                f"warmup_steps: expected less than total_steps = {self.total_steps}, got {self.warmup_steps}"
            )

    def factor(self, step: int) -> float:
        """Return the factor in (0, 1] by which a step, counted from 0, multiplies the peak learning rate.

        It rises linearly to 1 at the last step of the warm-up and would be 0 at the step after the last.
        Source: the cosine is ours; the paper names no shape.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to norms, biases or position embeddings."""
    return parameter.ndim >= MATRIX_NDIM and name.rpartition(".")[2] not in UNDECAYED_NAMES


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], *, weight_decay: float
) -> list[dict[str, Any]]:
    """Return the trainable parameters in two groups, decayed and not, without empty groups."""
    trainable = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    decayed = [parameter for name, parameter in trainable if is_decayed(name, parameter)]
    others = [parameter for name, parameter in trainable if not is_decayed(name, parameter)]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]], settings: AdamW
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters.

    Raises:
        ValueError: no parameter is trainable.
    """
    groups = parameter_groups(named_parameters, weight_decay=settings.weight_decay)
    if not groups:
        raise ValueError("optimiser: expected trainable parameters, got none")
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
