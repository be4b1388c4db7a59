"""Contrastive batches larger than device memory: the loss of the whole batch, the activations of one chunk.

The method is gradient caching (Gao et al. 2021, arXiv 2101.06983). The loss depends on embeddings only, so:

1. load and embed every chunk without a graph, and keep only its embeddings;
2. compute the loss of all embeddings and its gradient with respect to each embedding;
3. load and embed every chunk again, with a graph, and backpropagate its part of these gradients.

Memory for the whole batch holds the embeddings and their gradients (about 12 kB per side of a pair with 1024
dimensions) and the loss's matrix of logits. The cost is a second forward pass, and a second decoding
unless the chunks stay loaded. If a side's encoder is frozen, compute its embeddings beforehand and put them
in the chunks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from imagebind.checks import check_whole
from imagebind.errors import ImageBindError
from imagebind.training.random_state import RandomState

# Allowed relative difference of a chunk's embeddings between the two passes. Kernels may differ with and
# without a graph, which changes bfloat16 by about 2^-8 = 0.004; another crop changes embeddings by 0.1 or
# more. Source: ours.
REPEAT_TOLERANCE = 0.03

Chunk = TypeVar("Chunk")
Item = TypeVar("Item")
Encode = Callable[[Chunk], tuple[Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class LazyChunks(Generic[Item, Chunk]):
    """Items in chunks that are loaded during each iteration, and again in the next one.

    `load` reads the files of some items and stacks them into a chunk. The last chunk may be smaller.
    """

    items: Sequence[Item]
    load: Callable[[Sequence[Item]], Chunk]
    chunk_size: int

    def __post_init__(self) -> None:
        check_whole(1, chunk_size=self.chunk_size)

    def __len__(self) -> int:
        return -(-len(self.items) // self.chunk_size)

    def __iter__(self) -> Iterator[Chunk]:
        for start in range(0, len(self.items), self.chunk_size):
            yield self.load(self.items[start : start + self.chunk_size])


def cached_loss_step(
    encode: Encode[Chunk],
    chunks: Iterable[Chunk],
    loss_fn: Callable[..., Tensor],
    *,
    no_sync: Callable[[], AbstractContextManager[Any]] | None = None,
) -> Tensor:
    """Backpropagate the loss of all chunks as one batch; return the detached loss: ().

    `encode` returns a chunk's embeddings, one tensor per side: (b, e), (b, e). `loss_fn` takes the embeddings
    of all chunks, (n, e), (n, e), and returns a scalar; its own parameters, such as a temperature, get their
    gradients too. Gradients accumulate in `.grad`, as with `backward`; the caller makes the optimiser step.

    `chunks` is iterated twice: pass a list, a `LazyChunks`, or a DataLoader without persistent workers, not a
    generator. In the second pass the random number generators (torch on the CPU and on the accelerator,
    numpy, random) are reset before each chunk, so that dropout, shuffling and augmentation repeat.

    With several ranks, pass the same number of chunks on every rank, use a `loss_fn` that gathers (`InfoNCE`
    does), and pass `no_sync=model.no_sync` of the DistributedDataParallel model. `encode` must call that
    model once per chunk with both sides; gradients are then exchanged only with the last chunk. Layers with
    batch statistics, such as BatchNorm, see each chunk twice and never the whole batch, so their loss differs
    from that of a single pass.

    Raises:
        ValueError: `chunks` can be iterated only once or is empty, no embedding of a chunk requires a
            gradient, or the sides of a chunk have different numbers of rows.
        TypeError: `encode` does not return a tuple of tensors.
        ImageBindError: the second pass gave other chunks, or another number of them, than the first. The
            gradients of earlier chunks have been accumulated by then: zero them before continuing.
    """
    if isinstance(chunks, Iterator):
        raise ValueError(
            f"chunks: expected an iterable that can be iterated twice, such as a list or LazyChunks, "
            f"got {type(chunks).__name__}"
        )
    embeddings, states = _embed(encode, chunks)
    loss, gradients = _loss_and_gradients(loss_fn, embeddings)
    state_after = RandomState.capture()
    _backpropagate(encode, chunks, embeddings, gradients, states, no_sync or nullcontext)
    state_after.restore()
    return loss


def _embed(
    encode: Encode[Chunk], chunks: Iterable[Chunk]
) -> tuple[list[tuple[Tensor, ...]], list[RandomState]]:
    """Return every chunk's embeddings, and the RNG state before each chunk is loaded and after the last."""
    embeddings: list[tuple[Tensor, ...]] = []
    states = [RandomState.capture()]
    with torch.no_grad():
        for chunk in chunks:
            embeddings.append(_checked(encode(chunk), len(embeddings)))
            del chunk  # free it before the next one is loaded
            states.append(RandomState.capture())
    if not embeddings:
        raise ValueError("chunks: expected at least one chunk, got none")
    return embeddings, states


def _loss_and_gradients(
    loss_fn: Callable[..., Tensor], embeddings: list[tuple[Tensor, ...]]
) -> tuple[Tensor, list[list[Tensor]]]:
    """Return the loss of the whole batch, and per chunk the gradients of each side's embeddings."""
    sizes = [len(sides[0]) for sides in embeddings]
    leaves = [torch.cat(side).requires_grad_() for side in zip(*embeddings, strict=True)]  # (n, e) a side
    loss = loss_fn(*leaves)
    loss.backward()
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    by_side = [gradient.split(sizes) for gradient in gradients]
    return loss.detach(), [list(sides) for sides in zip(*by_side, strict=True)]


def _backpropagate(
    encode: Encode[Chunk],
    chunks: Iterable[Chunk],
    embeddings: list[tuple[Tensor, ...]],
    gradients: list[list[Tensor]],
    states: list[RandomState],
    no_sync: Callable[[], AbstractContextManager[Any]],
) -> None:
    """Embed every chunk again with a graph, from its saved RNG state, and backpropagate its gradients."""
    # Under autocast, some versions of torch would reuse weight casts that were made without a graph.
    torch.clear_autocast_cache()
    states[0].restore()
    index = 0
    for chunk in chunks:
        if index == len(embeddings):
            raise ImageBindError(
                f"chunks: expected {len(embeddings)} on the second pass, as on the first, got more"
            )
        is_last = index == len(embeddings) - 1
        with nullcontext() if is_last else no_sync():
            sides = _checked(encode(chunk), index)
            del chunk
            _check_repeated(sides, embeddings[index], index)
            trainable = [(s, g) for s, g in zip(sides, gradients[index], strict=True) if s.requires_grad]
            if not trainable:
                raise ValueError(f"encode: expected trainable parameters, got none for chunk {index}")
            torch.autograd.backward([s for s, _ in trainable], [g for _, g in trainable])
        index += 1
        states[index].restore()
    if index < len(embeddings):
        raise ImageBindError(
            f"chunks: expected {len(embeddings)} on the second pass, as on the first, got {index}"
        )


def _checked(sides: Any, index: int) -> tuple[Tensor, ...]:
    if not isinstance(sides, tuple) or not all(isinstance(side, Tensor) for side in sides) or not sides:
        raise TypeError(f"encode: expected a tuple of tensors, got {type(sides).__name__} for chunk {index}")
    if len({len(side) for side in sides}) > 1:
        shapes = [tuple(side.shape) for side in sides]
        raise ValueError(f"encode: expected equal numbers of rows, got {shapes} for chunk {index}")
    return sides


def _check_repeated(again: tuple[Tensor, ...], before: tuple[Tensor, ...], index: int) -> None:
    """Check that both passes gave the same embeddings; for others the stored gradients would be noise."""
    for new, old in zip(again, before, strict=True):
        if new.shape != old.shape:
            raise ImageBindError(
                f"chunk {index}: expected embeddings {tuple(old.shape)} on the second pass, as on the first, "
                f"got {tuple(new.shape)}"
            )
        change = torch.linalg.vector_norm((new.detach() - old).float())
        size = torch.linalg.vector_norm(old.float())
        if change > REPEAT_TOLERANCE * size:  # False for NaN embeddings; the loss is NaN then
            raise ImageBindError(
                f"chunk {index}: expected the same items with the same augmentation in both passes, got "
                f"embeddings that differ by {change / size:.2g} of their length"
            )
