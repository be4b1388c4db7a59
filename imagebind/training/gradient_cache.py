"""A contrastive batch larger than memory: loss and gradients of the whole, activations of a chunk.

The method is gradient caching (Gao et al. 2021, arXiv 2101.06983). The loss sees embeddings alone, so:

1. every chunk is loaded and embedded without a graph; its embeddings are kept, the rest is let go;
2. the loss of all embeddings gives the gradient of each;
3. every chunk is loaded and embedded once more, with a graph, and backpropagates its share of 2.

What is kept of all chunks is the embeddings and their gradients, some 12 kB a side of a pair at 1024
numbers, and the loss's matrix of logits. The price is a second forward pass and a second decoding. A side
whose encoder is frozen is better embedded once beforehand, its vectors being part of the chunk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from imagebind.errors import ImageBindError
from imagebind.training.random_state import RandomState

# How far, relative to their size, a chunk's embeddings may differ between the passes. Other kernels with a
# graph than without move bfloat16 by some 2^-8 = 0.004; other crops move embeddings by tenths. Ours.
REPEAT_TOLERANCE = 0.03

Chunk = TypeVar("Chunk")
Item = TypeVar("Item")
Encode = Callable[[Chunk], tuple[Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class LazyChunks(Generic[Item, Chunk]):
    """Items a chunk at a time, loaded when their turn comes and again in the next pass.

    `load` makes a chunk of some items: reads the files, stacks the tensors. The last chunk may be smaller.
    """

    items: Sequence[Item]
    load: Callable[[Sequence[Item]], Chunk]
    chunk_size: int

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size: expected at least 1, got {self.chunk_size}")

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
    """Backpropagate the loss of all chunks as one batch, and return it, detached: ().

    `encode` gives a chunk's embeddings, one tensor a side: (b, e), (b, e). `loss_fn` takes those of all
    chunks, (n, e), (n, e), and gives a scalar; what it learns, a temperature say, gets its gradient too.
    Gradients add up in `.grad`, as `backward` does it; an optimiser's step is the caller's.

    `chunks` is iterated twice, so a generator won't do: a list, a `LazyChunks`, or a DataLoader without
    persistent workers. Before the second pass the generators of random numbers (torch on the CPU and on the
    accelerator, numpy, random) are set back chunk by chunk, so that dropout, shuffling and augmentation
    repeat.

    Across ranks, give every rank as many chunks, let `loss_fn` gather (`InfoNCE` does), and give
    `no_sync=model.no_sync` of the DistributedDataParallel model that `encode` calls, once a chunk and with
    both sides: gradients are then exchanged with the last chunk alone. Layers that count batches, such as
    BatchNorm, see each chunk twice and not the batch: their loss is not that of one pass.

    Raises:
        ValueError: chunks that can be iterated only once, or none; embeddings that need no gradient.
        ImageBindError: the second pass gave other chunks than the first; names the chunk. Gradients of the
            chunks before it have been added by then: set them to zero before going on.
    """
    if isinstance(chunks, Iterator):
        raise ValueError(
            f"chunks: expected something that can be iterated twice, such as a list or LazyChunks, "
            f"got {type(chunks).__name__}"
        )
    embeddings, states = _embed(encode, chunks)
    loss, gradients = _loss_and_gradients(loss_fn, embeddings)
    after = RandomState.capture()
    _backpropagate(encode, chunks, embeddings, gradients, states, no_sync or nullcontext)
    after.restore()
    return loss


def _embed(
    encode: Encode[Chunk], chunks: Iterable[Chunk]
) -> tuple[list[tuple[Tensor, ...]], list[RandomState]]:
    """Every chunk's embeddings, and the random state before each chunk is loaded."""
    embeddings: list[tuple[Tensor, ...]] = []
    states = [RandomState.capture()]
    with torch.no_grad():
        for chunk in chunks:
            embeddings.append(_checked(encode(chunk), len(embeddings)))
            del chunk  # the next is loaded without this one in memory
            states.append(RandomState.capture())
    if not embeddings:
        raise ValueError("chunks: expected at least one chunk, got none")
    return embeddings, states


def _loss_and_gradients(
    loss_fn: Callable[..., Tensor], embeddings: list[tuple[Tensor, ...]]
) -> tuple[Tensor, list[list[Tensor]]]:
    """The loss of the whole batch, and by chunk the gradient of each side's embeddings."""
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
    """Every chunk again, with a graph, each from the random state that it had."""
    # Some versions of torch would use again, under autocast, the casts of weights made without a graph.
    torch.clear_autocast_cache()
    states[0].restore()
    index = 0
    for chunk in chunks:
        if index == len(embeddings):
            raise ImageBindError(
                f"chunks gave more on the second pass; expected {len(embeddings)} as on the first"
            )
        is_last = index == len(embeddings) - 1
        with nullcontext() if is_last else no_sync():
            sides = _checked(encode(chunk), index)
            del chunk
            _check_repeated(sides, embeddings[index], index)
            learned = [(s, g) for s, g in zip(sides, gradients[index], strict=True) if s.requires_grad]
            if not learned:
                raise ValueError(f"encode: expected parameters that learn, got none that chunk {index} needs")
            torch.autograd.backward([s for s, _ in learned], [g for _, g in learned])
        index += 1
        states[index].restore()
    if index < len(embeddings):
        raise ImageBindError(
            f"chunks gave {index} on the second pass; expected {len(embeddings)} as on the first"
        )


def _checked(sides: Any, index: int) -> tuple[Tensor, ...]:
    if not isinstance(sides, tuple) or not all(isinstance(side, Tensor) for side in sides) or not sides:
        raise TypeError(f"encode: expected a tuple of tensors, got {type(sides).__name__} for chunk {index}")
    if len({len(side) for side in sides}) > 1:
        shapes = [tuple(side.shape) for side in sides]
        raise ValueError(f"encode: expected as many rows on every side, got {shapes} for chunk {index}")
    return sides


def _check_repeated(again: tuple[Tensor, ...], before: tuple[Tensor, ...], index: int) -> None:
    """The gradients belong to the embeddings of the first pass: those of other inputs would learn noise."""
    for new, old in zip(again, before, strict=True):
        if new.shape != old.shape:
            raise ImageBindError(
                f"chunk {index}: embeddings {tuple(new.shape)} on the second pass; expected "
                f"{tuple(old.shape)}, "
                "as on the first"
            )
        change = torch.linalg.vector_norm((new.detach() - old).float())
        size = torch.linalg.vector_norm(old.float())
        if change > REPEAT_TOLERANCE * size:  # also False where the embeddings are NaN, as the loss is then
            raise ImageBindError(
                f"chunk {index}: embeddings moved by {change / size:.2g} of their length between the passes; "
                "expected the same items with the same augmentation in both"
            )
