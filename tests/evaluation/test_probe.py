"""Tests of the linear probe on frozen embeddings."""

import pytest
import torch

from imagebind.evaluation.probe import fit_linear_probe


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    return torch.eye(3, 5)[labels] + 0.1 * torch.randn(60, 5, generator=generator), labels


def test_a_linear_probe_finds_classes_in_inference_tensors():
    embeddings, labels = clusters()
    with torch.inference_mode():
        given = embeddings.clone()
    probe = fit_linear_probe(given, labels)
    assert (probe(embeddings).argmax(dim=1) == labels).all()


def test_a_linear_probe_is_at_the_optimum_of_its_loss():
    embeddings, labels = clusters()
    probe = fit_linear_probe(embeddings, labels, weight_decay=0.01).requires_grad_(True)
    fit = torch.nn.functional.cross_entropy(probe(embeddings), labels)
    (fit + 0.01 * probe.classes.weight.square().sum()).backward()
    assert probe.classes.weight.grad.abs().max() < 1e-3 and probe.classes.bias.grad.abs().max() < 1e-3


def test_a_linear_probe_takes_several_classes_per_sample():
    embeddings, labels = clusters()
    many = torch.stack([labels == 0, labels != 2], dim=1)
    scores = fit_linear_probe(embeddings, many)(embeddings)
    assert ((scores > 0) == many).all()


def test_a_probe_refuses_wrong_shapes_and_labels():
    embeddings, labels = clusters()
    with pytest.raises(ValueError, match=r"\(n, e\), got \(5,\)"):
        fit_linear_probe(embeddings[0], labels)
    with pytest.raises(ValueError, match=r"class numbers \(60,\).*got torch.int64 \(59,\)"):
        fit_linear_probe(embeddings, labels[1:])
    with pytest.raises(ValueError, match="numbers from 0, got -1"):
        fit_linear_probe(embeddings, labels - 1)
    with pytest.raises(ValueError, match="got NaN or infinity; leave out"):
        fit_linear_probe(embeddings / 0, labels)
