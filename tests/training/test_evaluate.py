"""Retrieval between epochs, and a linear probe on frozen embeddings."""

import pytest
import torch

from imagebind.datasets.pairs import BrokenPair
from imagebind.errors import MediaError
from imagebind.metrics import retrieval_recalls
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.evaluate import Retrieval, cosines
from imagebind.training.loop import train
from imagebind.training.probe import fit_linear_probe
from imagebind.training.recipe import Steps
from tests.training.toy import DEPTH, ToyPairs, toy_config, toy_recipe


def eight_pairs() -> ToyPairs:
    """One of each pattern."""
    return ToyPairs(ModalityType.DEPTH, size=8)


def test_retrieval_is_at_chance_before_training_and_right_after_it(tmp_path):
    torch.manual_seed(0)
    evaluation = Retrieval(data=eight_pairs, batch_size=3, ks=(1, 8))
    with torch.no_grad():
        before = evaluation(ImageBindModel(toy_config()).eval())
    recipe = toy_recipe(
        tmp_path, pairs=(DEPTH,), length=Steps(total=60, warmup=4), evaluations={"depth": evaluation}
    )
    after = train(recipe).evaluation
    assert before["from_vision_r1"] < 0.5 and before["from_vision_r8"] == 1.0
    assert after["depth/from_vision_r1"] == after["depth/to_vision_r1"] == 1.0
    assert after["depth/from_vision_median_rank"] == 1.0


def test_close_embeddings_do_not_tie_under_autocast():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 200, 32, generator=generator)
    vectors = torch.nn.functional.normalize(1 + 0.02 * noise[0], dim=-1)  # all cosines are above 0.99
    others = torch.nn.functional.normalize(vectors + 0.0002 * noise[1], dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        similarity = cosines(vectors, others)
    assert similarity.dtype == torch.float32 and torch.equal(similarity, vectors @ others.T)
    assert retrieval_recalls(similarity, ks=(1,)) == {1: 1.0}


class AllBroken(ToyPairs):
    def sample(self, index: int, *, turn: int) -> BrokenPair:
        return BrokenPair("x", MediaError("x", got="nothing", expected="a pair"), self.modality)


def test_retrieval_without_a_readable_pair_is_refused():
    evaluation = Retrieval(data=lambda: AllBroken(ModalityType.DEPTH, size=3))
    with pytest.raises(ValueError, match="readable pairs, got none out of 3"):
        evaluation(ImageBindModel(toy_config()))


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
