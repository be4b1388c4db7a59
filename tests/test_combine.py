"""Arithmetic on embeddings."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imagebind.embedder import Embedder, combine

X, Y = np.eye(2, dtype=np.float32)


def test_two_halves_lie_between():
    np.testing.assert_allclose(combine([(X, 0.5), (Y, 0.5)]), np.sqrt([0.5, 0.5]), rtol=1e-6)


def test_a_negative_weight_takes_away():
    np.testing.assert_allclose(combine([(X + Y, 1.0), (Y, -np.sqrt(0.5))]), X, atol=1e-6)


def test_how_long_a_vector_was_does_not_matter():
    np.testing.assert_allclose(combine([(10 * X, 1), (Y, 1)]), combine([(X, 1), (Y, 1)]), rtol=1e-6)


def test_a_tensor_with_a_gradient_is_taken_as_its_numbers():
    np.testing.assert_array_equal(combine([(torch.tensor([0.0, 2.0], requires_grad=True), 1)]), Y)


def test_it_is_reachable_from_an_embedder():
    assert Embedder.combine is combine


finite = st.floats(-100, 100, width=32)


@given(arrays(np.float32, 6, elements=finite).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_one_vector_comes_back_at_unit_length_and_is_not_changed(vector):
    before = vector.copy()
    result = combine([(vector, 3.0)])
    assert result.dtype == np.float32 and np.linalg.norm(result) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(result * np.linalg.norm(vector), vector, atol=1e-3)
    np.testing.assert_array_equal(vector, before)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "got none"),
        ([(X, 1), (np.ones(3), 1)], r"vector 1: expected \(2,\), got \(3,\)"),
        ([(np.ones((1, 2)), 1)], r"vector 0: .*got \(1, 2\)"),
        ([(X, 1), (0 * X, 1)], "vector 1: expected finite numbers that are not all 0"),
        ([(np.array([np.nan, 1]), 1)], "vector 0: expected finite"),
        ([(X, float("nan"))], "finite weight"),
        ([(X, 1), (X, -1)], "cancel out"),
        ([(X, 0), (Y, 0)], "cancel out"),
    ],
)
def test_what_has_no_sum_is_named(parts, message):
    with pytest.raises(ValueError, match=message):
        combine(parts)
