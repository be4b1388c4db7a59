"""The ranks of a run: joining them, placing a model on all of them, and averaging over them.

A single process is the only rank and uses the best available device. A launcher such as torchrun sets `RANK`,
`WORLD_SIZE` and `LOCAL_RANK` in the environment of each process; each then uses one device.
"""

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from imagebind.device import CPU, best_device
from imagebind.losses import world_size
from imagebind.models.transformer import Block
from imagebind.training.recipe import RecipeError, Sharding

GROUP_LEAVING_SECONDS = 0.05  # see `_leave_group`


def join_ranks() -> torch.device:
    """Join the process group that the launcher describes in the environment; return this rank's device.

    All runs of a process use one group, which is destroyed when the process ends. A second group would use
    the same store of the launcher, where a rank could still find the addresses of the first group.
    """
    device = torch.device(best_device())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if device.type != CPU:
            getattr(torch, device.type).set_device(int(os.environ.get("LOCAL_RANK", "0")))
        if not dist.is_initialized():
            dist.init_process_group()
            atexit.register(_leave_group)
    return device


def rank() -> int:
    """Return the number of this process, from 0; each rank writes its RNG state, rank 0 all else."""
    return dist.get_rank() if world_size() > 1 else 0


def wait_for_all_ranks() -> None:
    """Return when every rank has called this function."""
    if world_size() > 1:
        dist.barrier()


def average_over_ranks(tensor: Tensor) -> None:
    """Replace a tensor by its mean over all ranks."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()


def place(encoder: nn.Module, device: torch.device, sharding: Sharding, *, has_unused: bool) -> Any:
    """Move an encoder to this rank's device, and let the ranks exchange gradients.

    With "ddp" each rank has the whole encoder; `has_unused` means that some trainable parameters may get no
    gradient in some steps. With "fsdp2" each rank has a shard of each tensor; each transformer block is one
    FSDP unit, and all other parameters are another. Scalars cannot be sharded; the only ones are logit
    scales, which are not trainable.

    Raises:
        RecipeError: "fsdp2" with several ranks needs torch 2.6 or newer.
    """
    encoder = encoder.to(device)
    if world_size() == 1:
        return encoder
    if sharding == "ddp":
        # Buffers are constants, so they need no broadcast.
        return DistributedDataParallel(encoder, find_unused_parameters=has_unused, broadcast_buffers=False)
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise RecipeError(
            f'sharding = "fsdp2": expected torch 2.6 or newer, got {torch.__version__}'
        ) from error
    mesh = init_device_mesh(device.type, (world_size(),))
    for block in [module for module in encoder.modules() if isinstance(module, Block)]:
        fully_shard(block, mesh=mesh)
    return fully_shard(encoder, mesh=mesh, ignored_params={p for p in encoder.parameters() if p.ndim == 0})


def unwrapped(encoder: Any) -> Any:
    """Return the encoder that was passed to `place`."""
    return encoder.module if isinstance(encoder, DistributedDataParallel) else encoder


def is_sharded(encoder: nn.Module) -> bool:
    """Whether FSDP2 has sharded a module. Before torch 2.6 its class cannot be imported for `isinstance`."""
    return hasattr(encoder, "set_requires_gradient_sync")


@contextmanager
def no_sync(encoder: Any) -> Iterator[None]:
    """Accumulate gradients on each rank without exchanging them."""
    if not is_sharded(encoder):
        with encoder.no_sync() if isinstance(encoder, DistributedDataParallel) else nullcontext():
            yield
        return
    encoder.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        encoder.set_requires_gradient_sync(True)


def fastest_attention(device: torch.device) -> AbstractContextManager[None]:
    """Select the attention kernel that trains fastest on a device: on a CPU plain matrix products.

    With sequences of 50 tokens on a CPU, the backward pass of the fused kernel takes a third of a step.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == CPU else nullcontext()


def _leave_group() -> None:
    """Leave the process group before the interpreter shuts down."""
    if dist.is_initialized():
        dist.destroy_process_group()
        # A gloo thread may still have to release objects of a backward pass. It needs the GIL for that, and
        # would abort the process during interpreter shutdown. Sleeping lets it run first.
        time.sleep(GROUP_LEAVING_SECONDS)
