"""Tests of InfoNCE: its definition, temperature, and two ranks against one process with the whole batch."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from imagebind.losses import InfoNCE, distributed_info_nce, gather_features, info_nce
from tests.ranks import on_ranks

RANKS = 2
ROWS = 6  # pairs per rank
DIM = 8
TEMPERATURE = 0.1


def pairs(rows: int = ROWS, *, seed: int = 0, dim: int = DIM) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dim, generator=generator), torch.randn(rows, dim, generator=generator)


def slow_info_nce(first: Tensor, second: Tensor, temperature: float) -> float:
    """Return the paper's formula, computed pair by pair."""
    total = 0.0
    for one, other in ((first, second), (second, first)):
        for i in range(len(one)):
            terms = [math.exp(F.cosine_similarity(one[i], row, dim=0).item() / temperature) for row in other]
            total -= math.log(terms[i] / sum(terms)) / len(one)
    return total


def test_the_loss_of_two_orthogonal_pairs_equals_the_formula():
    rows = torch.eye(2)
    expected = 2 * math.log(1 + math.exp(-1 / 0.5))  # each way: -log(e^2 / (e^2 + e^0))
    assert info_nce(rows, rows, temperature=0.5).item() == pytest.approx(expected)


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 1000), st.sampled_from([0.05, 0.2, 1.0]))
def test_the_loss_is_the_papers_sum_of_both_directions(rows, seed, temperature):
    first, second = (side.double() for side in pairs(rows, seed=seed))
    actual = info_nce(first, second, temperature=temperature)
    assert actual.dtype == torch.float64
    assert actual.item() == pytest.approx(slow_info_nce(first, second, temperature), abs=1e-9)


def test_the_order_of_sides_and_rows_and_their_length_do_not_matter():
    first, second = (side.double() for side in pairs())
    loss = info_nce(first, second, temperature=TEMPERATURE)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(loss, info_nce(second, first, temperature=TEMPERATURE))
    assert torch.allclose(loss, info_nce(first[order], second[order], temperature=TEMPERATURE))
    assert torch.allclose(loss, info_nce(20 * first, second / 3, temperature=TEMPERATURE))


def test_the_gradient_equals_finite_differences():
    first, second = (side.double().requires_grad_() for side in pairs(3, dim=4))
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *a: info_nce(a[0], a[1], temperature=a[2]), (first, second, temperature)
    )


def test_logits_are_float32_under_autocast_and_for_bfloat16_embeddings():
    first, second = pairs(64)
    second = first + 0.1 * second  # large logits: bfloat16 products would have errors in the second digit
    exact = info_nce(first, second, temperature=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = info_nce(first, second, temperature=0.02)
    assert torch.equal(under_autocast, exact)
    half = first.bfloat16(), second.bfloat16()
    of_half = info_nce(*half, temperature=0.02)
    assert of_half.dtype == torch.float32
    assert torch.equal(of_half, info_nce(half[0].float(), half[1].float(), temperature=0.02))


def test_sides_of_two_dtypes_are_computed_in_the_wider_one():
    first, second = pairs()
    loss = info_nce(first.double(), second.bfloat16(), temperature=TEMPERATURE)
    assert loss.dtype == torch.float64
    assert torch.equal(loss, info_nce(first.double(), second.bfloat16().double(), temperature=TEMPERATURE))


def test_the_embeddings_are_not_changed_in_place():
    first, second = pairs()
    before = first.clone(), second.clone()
    info_nce(first, second, temperature=TEMPERATURE)
    assert torch.equal(first, before[0]) and torch.equal(second, before[1])


def test_in_one_process_the_module_and_the_distributed_loss_equal_info_nce():
    first, second = pairs()
    expected = info_nce(first, second, temperature=TEMPERATURE)
    assert torch.allclose(InfoNCE(temperature=TEMPERATURE)(first, second), expected)
    assert torch.equal(distributed_info_nce(first, second, temperature=TEMPERATURE), expected)
    assert gather_features(first, second)[0] is first


def test_a_fixed_temperature_is_saved_and_is_not_a_parameter():
    loss = InfoNCE(temperature=0.2)
    assert list(loss.parameters()) == []
    other = InfoNCE(temperature=0.05)
    other.load_state_dict(loss.state_dict())
    assert other.temperature.item() == pytest.approx(0.2)


def test_training_a_temperature_lowers_the_loss():
    first, _ = pairs()
    # All pairs match perfectly, so a lower temperature has a lower loss.
    loss = InfoNCE(temperature=0.5, learnable=True)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    before = loss(first, first)
    before.backward()
    optimizer.step()
    assert loss.temperature.item() < 0.5
    assert loss(first, first) < before


def test_a_learned_scale_is_clamped_to_100_and_can_decrease_again():
    first, second = pairs()
    loss = InfoNCE(temperature=0.07, learnable=True)
    with torch.no_grad():
        loss.log_logit_scale.fill_(10.0)
    loss(first, second).backward()
    assert loss.temperature.item() == pytest.approx(1 / 100)
    assert loss.log_logit_scale.grad.item() > 0  # random pairs: a lower scale has a lower loss


def test_the_module_shows_its_temperature():
    assert "temperature=0.05, learnable=False" in repr(InfoNCE(temperature=0.05))


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive_and_finite_raises_an_error(temperature):
    with pytest.raises(ValueError, match="temperature: expected a positive, finite number"):
        info_nce(*pairs(), temperature=temperature)
    with pytest.raises(ValueError, match="temperature: expected a positive, finite number"):
        InfoNCE(temperature=temperature)


def test_a_learned_temperature_below_the_bound_and_a_vector_raise_errors():
    with pytest.raises(ValueError, match=r"at least 0\.01 if learned, got 0\.001"):
        InfoNCE(temperature=0.001, learnable=True)
    with pytest.raises(ValueError, match=r"temperature: expected one number, got shape \(6,\)"):
        info_nce(*pairs(), temperature=torch.ones(ROWS))


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((4,), (4,))])
def test_sides_that_are_not_pairs_raise_an_error_with_their_shapes(shapes):
    with pytest.raises(ValueError, match=r"pairs of rows.*got \(\d"):
        info_nce(torch.zeros(shapes[0]), torch.zeros(shapes[1]), temperature=TEMPERATURE)


@pytest.mark.parametrize("loss", [info_nce, distributed_info_nce])
def test_a_side_that_is_not_a_tensor_raises_an_error_with_its_type(loss):
    with pytest.raises(TypeError, match="contrastive loss: expected tensors, got ndarray"):
        loss(torch.eye(2), torch.eye(2).numpy(), temperature=TEMPERATURE)


# Two ranks with half of the batch each, against one process with the whole batch.


class Encoders(nn.Module):
    """One linear layer per side, equal on all ranks."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.first = nn.Linear(DIM, DIM, bias=False)
        self.second = nn.Linear(DIM, DIM, bias=False)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(first), self.second(second)


def gradients_on_a_rank(rank: int) -> tuple[Tensor, list[Tensor]]:
    """Return this rank's loss and the gradients averaged over ranks."""
    first, second = (side[rank * ROWS : (rank + 1) * ROWS] for side in pairs(RANKS * ROWS))
    encoders, loss = Encoders(), InfoNCE(temperature=TEMPERATURE, learnable=True)
    value = loss(*encoders(first, second))
    value.backward()
    gradients = [parameter.grad / RANKS for parameter in (*encoders.parameters(), *loss.parameters())]
    for gradient in gradients:
        dist.all_reduce(gradient)
    unequal = pairs(3 + rank)
    with pytest.raises(ValueError, match=r"same number of pairs on every rank, got \[3, 4\]"):
        distributed_info_nce(*unequal, temperature=TEMPERATURE)
    return value.detach(), gradients


def gradients_in_one_process() -> tuple[Tensor, list[Tensor]]:
    encoders, loss = Encoders(), InfoNCE(temperature=TEMPERATURE, learnable=True)
    value = loss(*encoders(*pairs(RANKS * ROWS)))
    value.backward()
    return value.detach(), [parameter.grad for parameter in (*encoders.parameters(), *loss.parameters())]


def assert_same(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_loss_and_gradients_of_ranks_are_those_of_the_whole_batch():
    loss, gradients = gradients_in_one_process()
    by_rank = on_ranks(gradients_on_a_rank, ranks=RANKS)
    losses = [own_loss for own_loss, _ in by_rank]
    assert_same([sum(losses) / RANKS], [loss])
    assert abs(losses[0] - losses[1]) > 1e-3  # each has its own rows
    for _, averaged in by_rank:
        assert_same(averaged, gradients)
