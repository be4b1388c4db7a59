"""Chunks against the whole batch in one pass; random numbers, ranks and memory; and errors."""

import random
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from imagebind.errors import ImageBindError
from imagebind.losses import InfoNCE
from imagebind.training.gradient_cache import LazyChunks, cached_loss_step
from tests.ranks import on_ranks

RANKS = 2
ROWS = 24
DIM = 8

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

Pair = tuple[Tensor, Tensor]


class TwoTowers(nn.Module):
    """Two small networks, called once with both sides, the same in every process."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = self._tower(dropout)
        self.second = self._tower(dropout)
        generator = torch.Generator().manual_seed(7)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    @staticmethod
    def _tower(dropout: float) -> nn.Sequential:
        return nn.Sequential(nn.Linear(DIM, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, DIM))

    def forward(self, chunk: Pair) -> Pair:
        return self.first(chunk[0]), self.second(chunk[1])


def pairs(rows: int = ROWS) -> Pair:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(rows, DIM, generator=generator), torch.randn(rows, DIM, generator=generator)


def in_chunks(batch: Pair, chunk_size: int) -> list[Pair]:
    return list(zip(*(side.split(chunk_size) for side in batch), strict=True))


def learned_loss() -> InfoNCE:
    return InfoNCE(temperature=0.1, learnable=True)


def gradients(*modules: nn.Module) -> list[Tensor]:
    return [parameter.grad for module in modules for parameter in module.parameters()]


def assert_same(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def one_pass(towers: TwoTowers, loss: InfoNCE, batch: Pair) -> Tensor:
    value = loss(*towers(batch))
    value.backward()
    return value.detach()


@pytest.mark.parametrize("chunk_size", [1, 7, 8, 24, 100])
def test_loss_and_gradients_are_those_of_one_pass(chunk_size):
    towers, loss = TwoTowers(), learned_loss()
    expected = one_pass(towers, loss, pairs()), *gradients(towers, loss)
    towers, loss = TwoTowers(), learned_loss()
    value = cached_loss_step(towers, in_chunks(pairs(), chunk_size), loss)
    assert not value.requires_grad
    assert_same([value, *gradients(towers, loss)], list(expected))


def test_gradients_accumulate_as_with_backward():
    towers, loss = TwoTowers(), learned_loss()
    for _ in range(2):
        cached_loss_step(towers, in_chunks(pairs(), 5), loss)
    twice = gradients(towers, loss)
    towers, loss = TwoTowers(), learned_loss()
    cached_loss_step(towers, in_chunks(pairs(), 5), loss)
    assert_same(twice, [2 * gradient for gradient in gradients(towers, loss)])


def test_beside_a_frozen_tower_the_other_has_the_gradients_of_one_pass():
    towers, loss = TwoTowers(), learned_loss()
    towers.first.requires_grad_(False)
    one_pass(towers, loss, pairs())
    expected = gradients(towers.second, loss)
    towers.zero_grad()
    loss.zero_grad()
    cached_loss_step(towers, in_chunks(pairs(), 5), loss)
    assert_same(gradients(towers.second, loss), expected)
    assert gradients(towers.first) == [None] * 4


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, NEEDS_CUDA])])
def test_dropout_is_the_same_in_both_passes(device):
    towers, loss = TwoTowers(dropout=0.5).to(device), learned_loss().to(device)
    chunks = [(first.to(device), second.to(device)) for first, second in in_chunks(pairs(), 5)]
    torch.manual_seed(0)
    sides = [torch.cat(side) for side in zip(*(towers(chunk) for chunk in chunks), strict=True)]
    value = loss(*sides)
    value.backward()
    expected = [value.detach(), *gradients(towers, loss)]
    towers.zero_grad()
    loss.zero_grad()
    torch.manual_seed(0)
    assert_same([cached_loss_step(towers, chunks, loss), *gradients(towers, loss)], expected)


def test_the_next_step_draws_other_numbers():
    towers, loss = TwoTowers(dropout=0.5), learned_loss()
    drawn: list[Tensor] = []

    def noisy_loss(first: Tensor, second: Tensor) -> Tensor:
        drawn.append(torch.rand(4))
        return loss(first, second)

    values = [cached_loss_step(towers, in_chunks(pairs(), 5), noisy_loss) for _ in range(2)]
    assert values[0] != values[1]
    assert not torch.equal(drawn[1], torch.rand(4))  # the loss's random numbers are not drawn again either


def test_random_numbers_drawn_only_in_the_second_pass_do_not_matter():
    towers, chunks = TwoTowers(dropout=0.5), in_chunks(pairs(), 5)

    def encode(chunk: Pair) -> Pair:
        sides = towers(chunk)
        if torch.is_grad_enabled():
            torch.rand(3)
        return sides

    torch.manual_seed(0)
    expected = [cached_loss_step(towers, chunks, learned_loss()), *gradients(towers)]
    towers.zero_grad()
    torch.manual_seed(0)
    assert_same([cached_loss_step(encode, chunks, learned_loss()), *gradients(towers)], expected)


def test_augmentation_with_numpy_and_random_is_the_same_in_both_passes():
    loaded: list[Pair] = []
    first, second = pairs()

    def load(rows: range) -> Pair:
        scale, shift = np.random.uniform(0.5, 2.0), random.uniform(-1.0, 1.0)
        loaded.append((first[list(rows)] * scale, second[list(rows)] + shift))
        return loaded[-1]

    chunks = LazyChunks(items=range(ROWS), load=load, chunk_size=8)
    cached_loss_step(TwoTowers(), chunks, learned_loss())
    assert len(loaded) == 2 * len(chunks) == 6
    for one, again in zip(loaded[:3], loaded[3:], strict=True):
        assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])


def test_a_shuffling_data_loader_gives_the_same_order_again():
    towers, loss = TwoTowers(), learned_loss()
    expected = [one_pass(towers, loss, pairs()), *gradients(towers, loss)]  # the same in any order
    towers, loss = TwoTowers(), learned_loss()
    loader = DataLoader(TensorDataset(*pairs()), batch_size=5, shuffle=True)
    assert_same([cached_loss_step(towers, loader, loss), *gradients(towers, loss)], expected)


def test_only_one_chunk_at_a_time_is_in_memory():
    alive: list[weakref.ref] = []
    most = 0

    def load(rows: range) -> Pair:
        nonlocal most
        chunk = tuple(side[list(rows)].clone() for side in pairs())
        alive.append(weakref.ref(chunk[0]))
        most = max(most, sum(ref() is not None for ref in alive))
        return chunk

    cached_loss_step(TwoTowers(), LazyChunks(items=range(ROWS), load=load, chunk_size=4), learned_loss())
    assert len(alive) == 12 and most == 1


def test_under_autocast_the_weights_get_the_gradients_of_one_pass():
    towers, loss = TwoTowers(), learned_loss()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*towers(pairs()))
    value.backward()
    expected = gradients(towers)
    towers = TwoTowers()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cached = cached_loss_step(towers, in_chunks(pairs(), 6), learned_loss())
    assert cached.item() == pytest.approx(value.item(), rel=1e-2)
    for one, other in zip(gradients(towers), expected, strict=True):
        assert torch.linalg.vector_norm(one - other) < 0.05 * torch.linalg.vector_norm(other)


def test_gradients_are_exchanged_only_with_the_last_chunk():
    inside = False
    encoded_inside: list[bool] = []

    @contextmanager
    def no_sync() -> Iterator[None]:
        nonlocal inside
        inside = True
        yield
        inside = False

    towers = TwoTowers()

    def encode(chunk: Pair) -> Pair:
        if torch.is_grad_enabled():
            encoded_inside.append(inside)
        return towers(chunk)

    cached_loss_step(encode, in_chunks(pairs(), 6), learned_loss(), no_sync=no_sync)
    assert encoded_inside == [True, True, True, False]


def gradients_on_a_rank(rank: int) -> list[Tensor]:
    """Return the loss of a rank's half in chunks, and the gradients that DistributedDataParallel leaves."""
    share = ROWS // RANKS
    mine = tuple(side[rank * share : (rank + 1) * share] for side in pairs())
    towers, loss = DistributedDataParallel(TwoTowers()), DistributedDataParallel(learned_loss())
    value = cached_loss_step(towers, in_chunks(mine, 5), loss, no_sync=towers.no_sync)
    return [value, *gradients(towers, loss)]


def test_two_ranks_in_chunks_have_the_gradients_of_one_process_in_one_pass():
    by_rank = on_ranks(gradients_on_a_rank, ranks=RANKS)
    towers, loss = TwoTowers(), learned_loss()
    expected = one_pass(towers, loss, pairs())
    assert_same([sum(values[0] for values in by_rank) / RANKS], [expected])
    for _, *actual in by_rank:
        assert_same(actual, gradients(towers, loss))


MEMORY_SCRIPT = """
import torch
from pathlib import Path
from torch import nn
from imagebind.losses import info_nce
from imagebind.training.gradient_cache import LazyChunks, cached_loss_step

torch.set_num_threads(1)
WIDTH = 4096  # 16 kB an activation of a row, 5 of them kept for backward on each side: 160 MB for 1024 rows

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(32, WIDTH), nn.Linear(WIDTH, 16)
    def forward(self, rows):
        return self.down(self.up(rows).sin().sin().sin().sin())

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

wide = Wide()
encode = lambda rows: (wide(rows), wide(rows.flip(1)))
load = lambda seeds: torch.stack([torch.randn(32, generator=torch.Generator().manual_seed(s)) for s in seeds])
loss = lambda first, second: info_nce(first, second, temperature=0.1)
peaks = []
for rows in (128, 128, 1024):
    cached_loss_step(encode, LazyChunks(items=range(rows), load=load, chunk_size=32), loss)
    peaks.append(peak())
loss(*encode(load(range(1024)))).backward()
print(*peaks[1:], peak())
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="reads the peak memory from Linux's /proc"
)
def test_a_batch_eight_times_as_large_takes_little_more_memory():
    run = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    small, large, whole = map(float, run.stdout.split())  # MB
    assert large - small < 50  # a few copies of the 1024 x 1024 logits, 4 MB per copy
    assert whole - large > 80  # so a peak that grew with the batch would be seen


def test_chunks_that_are_empty_or_can_be_iterated_only_once_are_refused():
    with pytest.raises(ValueError, match=r"iterated twice.*got generator"):
        cached_loss_step(TwoTowers(), (chunk for chunk in in_chunks(pairs(), 6)), learned_loss())
    with pytest.raises(ValueError, match="at least one chunk"):
        cached_loss_step(TwoTowers(), [], learned_loss())


class Changing:
    """Chunks that differ in each pass."""

    def __init__(self, *passes: list[Pair]) -> None:
        self.passes = iter(passes)

    def __iter__(self) -> Iterator[Pair]:
        return iter(next(self.passes))


def test_other_chunks_in_the_second_pass_are_an_error():
    chunks = in_chunks(pairs(), 6)
    other = (chunks[1][0].flip(0), chunks[1][1])
    faults = {
        r"chunk 1: .*embeddings that differ by": [chunks[0], other, *chunks[2:]],
        r"chunk 1: expected embeddings \(6, 8\).*got \(2, 8\)": [chunks[0], (other[0][:2], other[1][:2])],
        r"expected 4 on the second pass.*got 3": chunks[:3],
        r"expected 4 on the second pass.*got more": [*chunks, chunks[0]],
    }
    for message, second in faults.items():
        with pytest.raises(ImageBindError, match=message):
            cached_loss_step(TwoTowers(), Changing(chunks, second), learned_loss())


def test_encoders_without_a_tuple_equal_rows_or_trainable_parameters_are_refused():
    chunks = in_chunks(pairs(), 6)
    with pytest.raises(TypeError, match="tuple of tensors, got Tensor for chunk 0"):
        cached_loss_step(lambda chunk: chunk[0], chunks, learned_loss())
    with pytest.raises(ValueError, match=r"equal numbers of rows, got \[\(5, 8\), \(6, 8\)\] for chunk 0"):
        cached_loss_step(lambda chunk: (chunk[0][1:], chunk[1]), chunks, learned_loss())
    with pytest.raises(ValueError, match="trainable parameters"):
        cached_loss_step(TwoTowers().requires_grad_(False), chunks, learned_loss())


def test_lazy_chunks_are_loaded_during_iteration_and_the_last_is_smaller():
    loaded: list[list[str]] = []
    chunks = LazyChunks(items=["a", "b", "c"], load=lambda names: loaded.append(names), chunk_size=2)
    assert len(chunks) == 2
    iterator = iter(chunks)
    assert loaded == []
    next(iterator)
    assert loaded == [["a", "b"]]
    next(iterator)
    assert loaded == [["a", "b"], ["c"]]
    with pytest.raises(ValueError, match="chunk_size: expected a whole number of at least 1, got 0"):
        LazyChunks(items=[], load=len, chunk_size=0)
