"""InfoNCE loss of pairs of embeddings: in one process, or with the negatives of all ranks.

Each of W ranks has b pairs. Its loss is that of its b rows against the W·b rows of all ranks, and gradients
flow to all of them. So the mean loss over ranks, and the mean gradient, which DistributedDataParallel
computes, are exactly those of one process with all W·b pairs. The logits of a rank need b·W·b instead of
(W·b)² numbers. In open_clip's words, this is `local_loss` with `gather_with_grad`.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.checks import check_positive
from imagebind.config import MAX_LOGIT_SCALE


def info_nce(first: Tensor, second: Tensor, *, temperature: float | Tensor) -> Tensor:
    """Return the InfoNCE loss of row pairs: (b, e), (b, e) -> ().

    The sum of both directions, L(first→second) + L(second→first), as in the ImageBind paper (§3.1); CLIP
    and open_clip take half of it. Random embeddings have a loss of about 2·ln b. Rows are normalised here, so
    only `temperature` scales the logits. Computed in float32 or higher, also under autocast.

    Raises:
        TypeError: a side is not a tensor.
        ValueError: the shapes are not (b, e) each with b >= 1, or the temperature is not one positive, finite
            number; the value of a tensor is not checked.
    """
    _check_pairs(first, second)
    first, second = _unit_rows(first, second)
    return _both_directions(first, second, first, second, temperature=temperature)


def distributed_info_nce(first: Tensor, second: Tensor, *, temperature: float | Tensor) -> Tensor:
    """Return `info_nce` with the rows of all ranks as negatives: (b, e), (b, e) -> ().

    Without other ranks it is `info_nce`.

    Raises:
        TypeError: as `info_nce`.
        ValueError: as `info_nce`; or, on every rank, if the numbers of pairs differ between ranks.
    """
    _check_pairs(first, second)
    if world_size() == 1:
        return info_nce(first, second, temperature=temperature)
    first, second = _unit_rows(first, second)
    all_first, all_second = gather_features(first, second)
    offset = dist.get_rank() * len(first)
    return _both_directions(first, second, all_first, all_second, temperature=temperature, offset=offset)


class InfoNCE(nn.Module):
    """`distributed_info_nce` with a fixed or learned temperature, for one pair of modalities.

    `nn.ModuleDict({"audio": InfoNCE(temperature=0.05), "text": InfoNCE(temperature=0.07, learnable=True)})`

    A learned temperature is stored as the log of its inverse, which each forward pass in training clamps to
    at most ln 100. Its gradient must be averaged over ranks like the model's: wrap this module in
    DistributedDataParallel too.
    """

    log_logit_scale: Tensor

    def __init__(self, *, temperature: float, learnable: bool = False) -> None:
        """Set the initial temperature.

        Raises:
            ValueError: the temperature is not positive and finite, or is learned and below 1 / 100.
        """
        super().__init__()
        _check_temperature(temperature)
        if learnable and temperature < 1 / MAX_LOGIT_SCALE:
            raise ValueError(
                f"temperature: expected at least {1 / MAX_LOGIT_SCALE} if learned, got {temperature}"
            )
        log_logit_scale = torch.tensor(-math.log(temperature))
        if learnable:
            self.log_logit_scale = nn.Parameter(log_logit_scale)
        else:
            self.register_buffer("log_logit_scale", log_logit_scale)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the loss of a batch of pairs: (b, e), (b, e) -> ()."""
        if isinstance(self.log_logit_scale, nn.Parameter) and self.training:
            # Clamp the parameter itself: a clamp of its value would leave no gradient beyond the bound.
            with torch.no_grad():
                self.log_logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return distributed_info_nce(first, second, temperature=self.temperature)

    @property
    def temperature(self) -> Tensor:
        """The divisor of similarities: ()."""
        return torch.exp(-self.log_logit_scale)

    def extra_repr(self) -> str:
        learned = isinstance(self.log_logit_scale, nn.Parameter)
        return f"temperature={self.temperature.item():.4g}, learnable={learned}"


def gather_features(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of all ranks, in rank order: (b, e), (b, e) -> (W·b, e), (W·b, e).

    The gradient of a row is the sum of its gradients on all ranks.

    Raises:
        ValueError: on every rank, if the numbers of rows differ between ranks.
    """
    if world_size() == 1:
        return first, second
    _check_equal_batches(first)
    both = torch.stack([first, second], dim=1)  # (b, 2, e): one exchange
    all_first, all_second = _AllGather.apply(both).unbind(dim=1)  # (W·b, 2, e)
    return all_first, all_second


def world_size() -> int:
    """Return the number of ranks; 1 if torch.distributed is not available or not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _AllGather(torch.autograd.Function):
    """Gather the rows of all ranks; backward sums the gradients of this rank's rows over all ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        return _all_gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone(memory_format=torch.contiguous_format)  # autograd's tensor must not be changed
        dist.all_reduce(total)  # not every backend has reduce-scatter
        start = dist.get_rank() * ctx.rows
        return total[start : start + ctx.rows]


def _all_gather(rows: Tensor) -> Tensor:
    gathered = rows.new_empty(world_size() * len(rows), *rows.shape[1:])
    dist.all_gather_into_tensor(gathered, rows.contiguous())
    return gathered


def _both_directions(
    first: Tensor,
    second: Tensor,
    all_first: Tensor,
    all_second: Tensor,
    *,
    temperature: float | Tensor,
    offset: int = 0,
) -> Tensor:
    """Return the loss of unit rows (b, e) against all rows (n, e); own rows start at `offset`: -> ()."""
    _check_temperature(temperature)
    targets = torch.arange(offset, offset + len(first), device=first.device)  # (b,)
    # Autocast would compute in bfloat16, with logit errors of up to 0.04 at temperature 0.05.
    with torch.autocast(first.device.type, enabled=False):
        to_second = first @ all_second.mT / temperature  # (b, n)
        to_first = second @ all_first.mT / temperature  # (b, n)
        return F.cross_entropy(to_second, targets) + F.cross_entropy(to_first, targets)


def _unit_rows(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return F.normalize(first.to(dtype), dim=-1), F.normalize(second.to(dtype), dim=-1)


def _check_pairs(first: Tensor, second: Tensor) -> None:
    for side in (first, second):
        if not isinstance(side, Tensor):
            raise TypeError(f"contrastive loss: expected tensors, got {type(side).__name__}")
    if first.ndim != 2 or first.shape != second.shape or len(first) == 0:
        raise ValueError(
            "contrastive loss: expected one or more pairs of rows, (b, e) and (b, e), "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _check_temperature(temperature: float | Tensor) -> None:
    if isinstance(temperature, Tensor):  # reading its value would wait for the accelerator
        if temperature.numel() != 1:
            raise ValueError(f"temperature: expected one number, got shape {tuple(temperature.shape)}")
    else:
        check_positive(temperature=temperature)


def _check_equal_batches(rows: Tensor) -> None:
    """Check that all ranks have equal batches; otherwise gathering would hang or misalign rows."""
    sizes = _all_gather(torch.tensor([len(rows)], device=rows.device)).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(
            f"batch: expected the same number of pairs on every rank, got {sizes}; drop the last batch"
        )
