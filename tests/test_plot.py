"""The heat map shows the numbers and labels of a matrix."""

import numpy as np
import pytest
import torch

from imagebind.plot import similarity_heatmap


def test_a_heat_map_shows_every_number_and_label(tmp_path):
    figure = similarity_heatmap(
        np.array([[1.0, 0.25], [0.5, 0.125]]), ["dog.jpg", "car.jpg"], ["A dog.", "A car"]
    )
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.25", "0.50", "0.12"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog.jpg", "car.jpg"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A dog.", "A car"]
    figure.savefig(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_label_keeps_its_ends():
    figure = similarity_heatmap(np.ones((1, 1)), ["a" * 40 + ".wav"], ["x"])
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert len(label) <= 28 and label.startswith("aaa") and label.endswith(".wav")


def test_labels_that_do_not_fit_the_matrix_are_refused():
    with pytest.raises(ValueError, match=r"expected labels for \(2, 3\), got 2 and 2"):
        similarity_heatmap(np.ones((2, 3)), ["a", "b"], ["c", "d"])


def test_the_similarities_may_be_a_tensor_in_training():
    similarity = torch.tensor([[0.5]], dtype=torch.bfloat16, requires_grad=True)
    figure = similarity_heatmap(similarity, ["a"], ["b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50"]


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match=r"expected at least one row and column, got \(2, 0\)"):
        similarity_heatmap(np.ones((2, 0)), ["a", "b"], [])


def test_a_failed_item_does_not_change_the_colours_of_the_other_numbers():
    figure = similarity_heatmap(np.array([[1.0, 0.25], [np.nan, np.nan]]), ["a", "b"], ["c", "d"])
    assert [text.get_color() for text in figure.axes[0].texts] == ["black", "white", "black", "black"]
