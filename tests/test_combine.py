"""Tests of embedding arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imagebind.embedder import Embedder, combine
from imagebind.errors import MediaError

X, Y = np.eye(2, dtype=np.float32)


def test_the_sum_of_two_halves_is_between_both():
    np.testing.assert_allclose(combine([(X, 0.5), (Y, 0.5)]), np.sqrt([0.5, 0.5]), rtol=1e-6)


def test_a_negative_weight_subtracts():
    np.testing.assert_allclose(combine([(X + Y, 1.0), (Y, -np.sqrt(0.5))]), X, atol=1e-6)


def test_the_length_of_a_vector_does_not_matter():
    np.testing.assert_allclose(combine([(10 * X, 1), (Y, 1)]), combine([(X, 1), (Y, 1)]), rtol=1e-6)


def test_vectors_with_tiny_or_huge_numbers_and_weights_are_normalised():
    np.testing.assert_allclose(combine([(1e30 * X, 1e60), (1e-30 * Y, 1e60)]), np.sqrt([0.5, 0.5]), rtol=1e-6)


def test_a_tensor_in_bfloat16_is_accepted():
    np.testing.assert_array_equal(combine([(torch.tensor([0, 2], dtype=torch.bfloat16), 1)]), Y)


def test_a_tensor_that_requires_grad_is_accepted():
    np.testing.assert_array_equal(combine([(torch.tensor([0.0, 2.0], requires_grad=True), 1)]), Y)


def test_an_error_of_the_generator_of_parts_is_not_changed():
    def parts():
        raise MediaError("dog.jpg", got="no such file")
        yield

    with pytest.raises(MediaError, match=r"^dog\.jpg: no such file$"):
        combine(parts())


def test_combine_is_also_a_method_of_the_embedder():
    assert Embedder.combine is combine


finite = st.floats(-100, 100, width=32)


@given(arrays(np.float32, 6, elements=finite).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_one_vector_is_normalised_and_not_changed_in_place(vector):
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
        ([(np.ones((1, 2)), 1)], r"vector 0: expected \(2,\), got \(1, 2\)"),
        ([(np.ones((1, 1, 2)), 1)], r"vector 0: expected \(2,\), got \(1, 1, 2\)"),
        ((X, 0.5), r"combine: expected \[\(vector \(e,\), weight\), …\], got \[array"),
        ([("a dog", 1)], r"combine: expected .*, got \[\('a dog', 1\)\]"),
        ([(X, None)], "combine: expected .*None"),
        ([(X, 1), (0 * X, 1)], "vector 1: expected finite numbers that are not all 0"),
        ([(np.array([np.nan, 1]), 1)], "vector 0: expected finite"),
        ([(X, float("nan"))], "weight of vector 0: expected a finite number, got nan"),
        ([(X, 1), (X, -1)], "cancel out"),
        ([(X, 0), (Y, 0)], "cancel out"),
    ],
)
def test_invalid_vectors_raise_errors(parts, message):
    with pytest.raises(ValueError, match=message):
        combine(parts)
