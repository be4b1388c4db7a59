"""InfoNCE between pairs of embeddings: in one process, or with the negatives of all ranks.

What a rank's loss is and what its gradients sum to, for W ranks of b pairs each against one process with
the batch of W·b. "Average" is the mean over ranks, as DistributedDataParallel takes it of gradients:

| local_loss | gather_with_grad | loss of a rank   | average gradient of the encoders                  |
|------------|------------------|------------------|---------------------------------------------------|
| True       | True             | its own b rows   | the large batch's                                 |
| False      | True             | the large batch's| the large batch's                                 |
| False      | False            | the large batch's| the large batch's / W                             |
| True       | False            | its own b rows   | the large batch's with all negatives held fixed   |

With `local_loss` it is the average of the losses that is the large batch's. A learned temperature has the
large batch's gradient on average in all four. The names are open_clip's, and so is what they mean; the
defaults are the first row, which is exact and whose logits grow with b·W·b instead of (W·b)².
"""

import math
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOGIT_SCALE = 100.0  # a learned 1 / temperature goes no further. Source: CLIP (arXiv 2103.00020, §2.5)

Group = Any  # a torch.distributed.ProcessGroup: the name is missing where torch is built without it


def info_nce(first: Tensor, second: Tensor, *, temperature: float | Tensor) -> Tensor:
    """Each row of one side has to find its own row of the other: (b, e), (b, e) -> ().

    The sum of both directions, L(first→second) + L(second→first), as in the ImageBind paper (§3.1); CLIP
    and open_clip take half of it. Random embeddings score about 2·ln b. Rows are brought to unit length
    here, so the scale of a model's outputs has no say: `temperature` alone has. Computed in float32 at
    least, also under autocast.

    Raises:
        ValueError: sides of other shapes than (b, e) each, or a temperature that is not positive.
    """
    _check_pairs(first, second)
    first, second = _unit_rows(first), _unit_rows(second)
    return _both_directions(first, second, first, second, temperature=temperature)


def distributed_info_nce(
    first: Tensor,
    second: Tensor,
    *,
    temperature: float | Tensor,
    local_loss: bool = True,
    gather_with_grad: bool = True,
    group: Group | None = None,
) -> Tensor:
    """`info_nce` with the rows of all ranks as negatives: (b, e), (b, e) -> ().

    The table above has what the options mean. Without torch.distributed, or alone in the group, it is
    `info_nce`, whatever they are.

    Raises:
        ValueError: as `info_nce`; or ranks with different numbers of pairs, on every rank.
    """
    _check_pairs(first, second)
    if world_size(group) == 1:
        return info_nce(first, second, temperature=temperature)
    first, second = _unit_rows(first), _unit_rows(second)
    all_first, all_second = gather_features(
        first, second, local_loss=local_loss, gather_with_grad=gather_with_grad, group=group
    )
    if not local_loss:
        return _both_directions(all_first, all_second, all_first, all_second, temperature=temperature)
    return _both_directions(
        first,
        second,
        all_first,
        all_second,
        temperature=temperature,
        offset=dist.get_rank(group) * len(first),
    )


class InfoNCE(nn.Module):
    """`distributed_info_nce` with its temperature, fixed or learned; one for each pair of modalities.

    `nn.ModuleDict({"audio": InfoNCE(temperature=0.05), "text": InfoNCE(temperature=0.07, learnable=True)})`

    A learned one is kept as the log of its inverse, which is brought back to ln 100 when an optimiser has
    gone beyond. Across ranks its gradient wants averaging as the model's do: wrap this module in
    DistributedDataParallel too.
    """

    log_logit_scale: Tensor

    def __init__(
        self,
        *,
        temperature: float,
        learnable: bool = False,
        local_loss: bool = True,
        gather_with_grad: bool = True,
        group: Group | None = None,
    ) -> None:
        """Start from a temperature.

        Raises:
            ValueError: it is not positive, or learned and below 1 / 100.
        """
        super().__init__()
        _check_temperature(temperature)
        if learnable and temperature < 1 / MAX_LOGIT_SCALE:
            raise ValueError(
                f"learned temperature: expected at least {1 / MAX_LOGIT_SCALE}, got {temperature}"
            )
        log_logit_scale = torch.tensor(-math.log(temperature))
        if learnable:
            self.log_logit_scale = nn.Parameter(log_logit_scale)
        else:
            self.register_buffer("log_logit_scale", log_logit_scale)
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad
        self.group = group

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of a batch of pairs: (b, e), (b, e) -> ()."""
        if isinstance(self.log_logit_scale, nn.Parameter) and self.training:
            # The parameter and not only the value is clipped: beyond a clip of the value there is no gradient
            # to come back by.
            with torch.no_grad():
                self.log_logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return distributed_info_nce(
            first,
            second,
            temperature=self.temperature,
            local_loss=self.local_loss,
            gather_with_grad=self.gather_with_grad,
            group=self.group,
        )

    @property
    def temperature(self) -> Tensor:
        """What similarities are divided by: ()."""
        return torch.exp(-self.log_logit_scale)

    def extra_repr(self) -> str:
        learned = isinstance(self.log_logit_scale, nn.Parameter)
        return (
            f"temperature={self.temperature.item():.4g}, learnable={learned}, "
            f"local_loss={self.local_loss}, gather_with_grad={self.gather_with_grad}"
        )


def gather_features(
    first: Tensor,
    second: Tensor,
    *,
    local_loss: bool,
    gather_with_grad: bool,
    group: Group | None = None,
) -> tuple[Tensor, Tensor]:
    """The rows of all ranks, in the order of ranks: (b, e), (b, e) -> (W·b, e), (W·b, e).

    With `gather_with_grad` the gradient of a row is the sum over ranks of what each has for it. Without,
    rows of other ranks are constants; a rank's own rows have their gradient unless `local_loss`, which
    takes it through its queries alone.

    Raises:
        ValueError: ranks with different numbers of rows, on every rank.
    """
    if world_size(group) == 1:
        return first, second
    _check_equal_batches(first, group)
    both = torch.stack([first, second], dim=1)  # (b, 2, e): one exchange
    if gather_with_grad:
        gathered = _AllGather.apply(both, group)  # (W·b, 2, e)
    else:
        gathered = _all_gather(both.detach(), group)
        if not local_loss:
            start = dist.get_rank(group) * len(both)
            gathered = torch.cat([gathered[:start], both, gathered[start + len(both) :]])
    all_first, all_second = gathered.unbind(dim=1)
    return all_first, all_second


def world_size(group: Group | None = None) -> int:
    """How many ranks share a batch; 1 where torch.distributed is not there or not started."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


class _AllGather(torch.autograd.Function):
    """All ranks' rows; backward, the sum of all ranks' gradients for the rows of this one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Group | None) -> Tensor:
        ctx.group, ctx.rows = group, len(rows)
        return _all_gather(rows, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        total = gradient.clone(memory_format=torch.contiguous_format)  # autograd's own is not ours to change
        dist.all_reduce(total, group=ctx.group)  # every backend has it, not every one a reduce-scatter
        start = dist.get_rank(ctx.group) * ctx.rows
        return total[start : start + ctx.rows], None


def _all_gather(rows: Tensor, group: Group | None) -> Tensor:
    gathered = rows.new_empty(world_size(group) * len(rows), *rows.shape[1:])
    dist.all_gather_into_tensor(gathered, rows.contiguous(), group=group)
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
    """Unit rows (b, e) of each side against all (n, e), among which their own start at `offset`: -> ()."""
    _check_temperature(temperature)
    own = torch.arange(offset, offset + len(first), device=first.device)  # (b,)
    # Autocast would take the products in bfloat16: at temperature 0.05 that is off by up to 0.04 in a logit.
    with torch.autocast(first.device.type, enabled=False):
        to_second = first @ all_second.mT / temperature  # (b, n)
        to_first = second @ all_first.mT / temperature  # (b, n)
        return F.cross_entropy(to_second, own) + F.cross_entropy(to_first, own)


def _unit_rows(rows: Tensor) -> Tensor:
    return F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=-1)


def _check_pairs(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape or len(first) == 0:
        raise ValueError(
            "contrastive loss: expected pairs of rows, (b, e) and (b, e), "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _check_temperature(temperature: float | Tensor) -> None:
    if isinstance(
        temperature, Tensor
    ):  # its value is not looked at: an accelerator would have to be waited for
        if temperature.numel() != 1:
            raise ValueError(f"temperature: expected one number, got shape {tuple(temperature.shape)}")
    elif not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: expected a positive number, got {temperature}")


def _check_equal_batches(rows: Tensor, group: Group | None) -> None:
    """Ranks of unequal batches would wait for ever, or read each other's rows askew."""
    sizes = _all_gather(torch.tensor([len(rows)], device=rows.device), group).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(f"expected the same number of pairs on every rank, got {sizes}; drop the last batch")
