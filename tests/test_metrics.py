"""Metrics: examples computed by hand, slow definitions, ties, NaN and invalid input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.metrics import (
    as_numbers,
    average_precision,
    mean_average_precision,
    median_of_ranks,
    median_rank,
    recall_at_k,
    retrieval_recalls,
    target_ranks,
    top_k_accuracy,
)

NAN = float("nan")

# Four queries and candidates; the relevant one of each is on the diagonal, with ranks 1, 2, 4 and 1.
SIMILARITY = torch.tensor(
    [
        [0.9, 0.1, 0.2, 0.3],
        [0.8, 0.5, 0.1, 0.0],
        [0.4, 0.3, 0.1, 0.2],
        [-0.9, -0.8, -0.7, -0.6],
    ]
)

# Two audio clips with three captions: captions 0 and 2 belong to the first.
AUDIO_OF_CAPTION = torch.tensor([0, 1, 0])


@st.composite
def scored(draw, max_size=6):
    """Return scores with many ties and some NaN, and a target column per row."""
    queries, candidates = draw(st.integers(1, max_size)), draw(st.integers(1, max_size))
    values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, NAN])
    rows = draw(st.lists(values, min_size=queries * candidates, max_size=queries * candidates))
    target = draw(st.lists(st.integers(0, candidates - 1), min_size=queries, max_size=queries))
    return torch.tensor(rows).view(queries, candidates), torch.tensor(target)


def test_ranks_equal_those_computed_by_hand():
    assert target_ranks(SIMILARITY).tolist() == [1, 2, 4, 1]


def test_recall_counts_a_target_of_rank_2_only_from_k_2():
    similarity = torch.tensor([[0.9, 0.8, 0.1]])
    assert recall_at_k(similarity, torch.tensor([1]), k=1) == 0.0
    assert recall_at_k(similarity, torch.tensor([1]), k=2) == 1.0


def test_retrieval_recalls_equal_the_shares_computed_by_hand():
    assert retrieval_recalls(SIMILARITY, ks=(1, 2, 3, 4)) == {1: 0.5, 2: 0.75, 3: 0.75, 4: 1.0}
    assert retrieval_recalls(SIMILARITY) == {1: 0.5, 5: 1.0, 10: 1.0}


def test_the_other_direction_is_the_transpose():
    # by columns: 0.9 is first of its column, 0.5 first, 0.1 tied with 0.1 and behind 0.2, -0.6 last
    assert target_ranks(SIMILARITY.T).tolist() == [1, 1, 3, 4]


def test_median_rank_is_the_mean_of_the_middle_two_or_the_middle_one():
    assert median_rank(SIMILARITY) == median_of_ranks(torch.tensor([1, 2, 4, 1])) == 1.5  # of 1, 1, 2, 4
    assert median_rank(SIMILARITY[:3], torch.tensor([0, 1, 2])) == 2.0  # of 1, 2, 4


def test_one_of_several_relevant_captions_is_enough_and_the_others_do_not_lower_its_rank():
    audio_to_text = torch.tensor([[0.9, 0.5, 0.8], [0.6, 0.5, 0.7]])
    relevant = AUDIO_OF_CAPTION[None, :] == torch.arange(2)[:, None]
    assert target_ranks(audio_to_text, relevant).tolist() == [1, 3]
    assert target_ranks(audio_to_text[:, [1, 0, 2]], relevant[:, [1, 0, 2]]).tolist() == [1, 3]
    second_best = torch.tensor([[0.1, 0.5, 0.4], [0.0, 1.0, 0.0]])
    # Caption 0, which ranks below both, does not matter.
    assert target_ranks(second_best, relevant).tolist() == [2, 1]
    assert (
        target_ranks(audio_to_text.T, relevant.T).tolist()
        == target_ranks(audio_to_text.T, AUDIO_OF_CAPTION).tolist()
    )


def test_equal_scores_of_all_candidates_find_nothing():
    same = torch.zeros(5, 5)
    assert recall_at_k(same, None, k=4) == 0.0
    assert median_rank(same) == 5.0
    assert top_k_accuracy(same, torch.zeros(5, dtype=torch.long)) == 0.0


def test_nan_is_not_found_and_does_not_lower_other_ranks():
    similarity = torch.tensor([[NAN, NAN, NAN], [0.1, 0.2, NAN], [0.3, 0.1, NAN]])
    assert target_ranks(similarity).tolist() == [3, 1, 3]
    assert similarity.isnan().sum() == 5  # the input is unchanged


@given(scored())
def test_the_rank_is_one_more_than_the_other_candidates_at_least_as_similar(given_scores):
    similarity, target = given_scores
    rows = similarity.nan_to_num(nan=-torch.inf).tolist()
    expected = [
        1 + sum(value >= row[positive] for column, value in enumerate(row) if column != positive)
        for row, positive in zip(rows, target.tolist(), strict=True)
    ]
    assert target_ranks(similarity, target).tolist() == expected


@given(scored())
def test_booleans_with_one_true_per_row_equal_column_numbers(given_scores):
    similarity, target = given_scores
    booleans = torch.nn.functional.one_hot(target, similarity.shape[1]).bool()
    assert torch.equal(target_ranks(similarity, booleans), target_ranks(similarity, target))


@given(scored(), st.randoms())
def test_ranks_do_not_depend_on_the_order_of_the_candidates(given_scores, random):
    similarity, target = given_scores
    order = list(range(similarity.shape[1]))
    random.shuffle(order)
    shuffled = torch.tensor([order.index(column) for column in target.tolist()])
    assert torch.equal(target_ranks(similarity[:, order], shuffled), target_ranks(similarity, target))


@given(scored())
def test_recall_grows_with_k_up_to_all(given_scores):
    similarity, target = given_scores
    recalls = list(retrieval_recalls(similarity, target, ks=range(1, similarity.shape[1] + 1)).values())
    assert recalls == sorted(recalls) and recalls[-1] == 1.0


def test_top_k_accuracy_is_counted_over_samples():
    scores = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])
    labels = torch.tensor([0, 1, 0])
    assert top_k_accuracy(scores, labels) == pytest.approx(1 / 3)
    assert top_k_accuracy(scores, labels, k=2) == pytest.approx(2 / 3)


def test_average_precision_equals_an_example_computed_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    positive = torch.tensor([[True], [False], [True], [False]])
    assert average_precision(scores, positive).tolist() == [pytest.approx((1 / 1 + 2 / 3) / 2)]


def test_equal_scores_have_the_frequency_as_average_precision():
    positive = torch.tensor([[True], [False], [False], [True], [False]])
    assert average_precision(torch.ones(5, 1), positive).item() == pytest.approx(2 / 5)
    tied = torch.tensor([[0.9], [0.5], [0.5], [0.5], [0.1]])  # 1 of 1, then 2 of 4
    assert average_precision(tied, positive).item() == pytest.approx((1 + 2 / 4) / 2)


def test_a_positive_sample_with_nan_comes_last():
    positive = torch.tensor([[True], [False], [True]])
    assert average_precision(torch.tensor([[0.9], [0.1], [NAN]]), positive).item() == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_mean_average_precision_is_over_the_classes_that_have_samples():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.1, 0.2, 0.4]])
    positive = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_average_precision(scores, positive) == pytest.approx((1.0 + 0.5) / 2)


@settings(max_examples=50)
@given(scored(), st.integers(0, 2**16))
def test_average_precision_is_the_sum_over_thresholds(given_scores, seed):
    scores, _ = given_scores
    positive = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    actual = average_precision(scores, positive).tolist()
    for column, value in enumerate(actual):
        rows, hits = scores[:, column].nan_to_num(nan=-torch.inf), positive[:, column]
        expected, recall = 0.0, 0.0
        for threshold in rows.unique().flip(0):
            passed = hits[rows >= threshold].double()
            gained = passed.sum() / hits.sum() - recall
            expected, recall = expected + gained * passed.mean(), recall + gained
        assert value == pytest.approx(float(expected), nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_any_real_dtype_gives_the_ranks_of_its_values(dtype):
    similarity = (SIMILARITY * 10).to(dtype)
    assert target_ranks(similarity).tolist() == [1, 2, 4, 1]
    assert average_precision(similarity, torch.eye(4).bool()).shape == (4,)


def test_numpy_arrays_are_accepted_also_reversed_and_of_unsigned_integers():
    assert target_ranks(SIMILARITY.numpy()[::-1], np.arange(4)[::-1]).tolist() == [1, 4, 2, 1]
    assert target_ranks(SIMILARITY.numpy(), np.arange(4, dtype=np.uint16)).tolist() == [1, 2, 4, 1]
    assert median_rank(SIMILARITY.numpy()) == 1.5
    assert as_numbers(SIMILARITY.numpy().T, "matrix").data_ptr() == SIMILARITY.data_ptr()  # no copy
    assert recall_at_k(SIMILARITY.numpy(), np.arange(4), k=1) == 0.5
    assert mean_average_precision(np.eye(3), np.eye(3, dtype=bool)) == 1.0


@pytest.mark.parametrize(
    ("similarity", "target", "message"),
    [
        (torch.zeros(3), None, r"similarity: expected a matrix.*\(3,\)"),
        (torch.zeros(0, 3), None, r"similarity: expected a matrix.*\(0, 3\)"),
        (torch.zeros(2, 3), None, r"without target.*as many columns as rows.*\(2, 3\)"),
        (torch.zeros(2, 3), torch.tensor([0, 1, 2]), r"column numbers \(2,\).*got torch.int64 \(3,\)"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), r"got torch.float32 \(2,\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), r"columns 0 to 2, got 3 in row 1"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), r"columns 0 to 2, got -1 in row 0"),
        (torch.zeros(2, 3), torch.ones(3, 2).bool(), r"target: expected.*\(2, 3\), got booleans of \(3, 2\)"),
        (torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]), r"got none for row 1"),
        (torch.ones(2, 2).bool(), None, r"similarity: expected real numbers, got torch.bool"),
        (torch.ones(2, 2) * 1j, None, r"similarity: expected real numbers, got torch.complex64"),
        (None, None, r"similarity: expected numbers, got None"),
        (np.array([[1, None]]), None, r"similarity: expected numbers, got array"),
        (torch.zeros(2, 3), ["a", "b"], r"target: expected numbers, got \['a', 'b'\]"),
    ],
)
def test_mismatched_arguments_raise_errors_with_their_values(similarity, target, message):
    with pytest.raises(ValueError, match=message):
        target_ranks(similarity, target)


@pytest.mark.parametrize("k", [0, -5, 1.5, NAN])
def test_a_k_that_is_not_a_whole_number_of_at_least_1_raises_an_error(k):
    with pytest.raises(ValueError, match=f"k: expected a whole number of at least 1, got {k}"):
        recall_at_k(SIMILARITY, None, k=k)
    with pytest.raises(ValueError, match=f"k: expected a whole number of at least 1, got {k}"):
        retrieval_recalls(SIMILARITY, ks=(1, k))


def test_average_precision_requires_booleans_of_the_scores_shape_with_a_true_entry():
    with pytest.raises(ValueError, match=r"booleans of the scores' shape \(2, 3\), got torch.int64 \(2,\)"):
        average_precision(torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"at least one true entry, got none in \(2, 3\)"):
        mean_average_precision(torch.zeros(2, 3), torch.zeros(2, 3).bool())
