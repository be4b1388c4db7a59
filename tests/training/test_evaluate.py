"""Evaluation between epochs: retrieval within pairs, and benchmarks."""

from dataclasses import replace

import pytest
import torch

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.config import TextConfig
from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.pairs import BrokenPair
from imagebind.errors import MediaError
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.metrics import cosines, retrieval_recalls
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.evaluate import BenchmarkFigures, Retrieval
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import Epochs, Steps
from tests.evaluation.layouts import write_esc50
from tests.training.toy import DEPTH, WIDTH, ToyPairs, toy_config, toy_recipe


def eight_pairs() -> ToyPairs:
    """Return one pair of each pattern."""
    return ToyPairs(ModalityType.DEPTH, size=8)


def test_retrieval_finds_less_than_half_before_training_and_all_afterwards(tmp_path):
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


def test_a_recipe_evaluates_by_a_benchmark_between_epochs(tmp_path):
    texts = [
        LabelledItem(item={"text": text}, name=text, labels=(number,))
        for number, text in enumerate(("disc", "star"))
    ]
    classes = [ClassNames(label=item.name, names=(item.name,)) for item in texts]
    benchmark = Benchmark(
        name="texts",
        title="Texts",
        task=Task.CLASSIFICATION,
        media=MediaKind.TEXT,
        read=lambda root: LabelledSet(classes=classes, items=texts),
        needs_root=False,
    )
    full = TextConfig(embed_dim=WIDTH, num_blocks=2, num_heads=2)  # takes real texts
    recipe = toy_recipe(
        tmp_path,
        model=replace(toy_config(), text=full),
        pairs=(DEPTH,),
        length=Epochs(total=1.5),  # of 8 steps
        evaluations={"texts": BenchmarkFigures(benchmark=benchmark, options={"templates": "name"})},
    )
    result = train(recipe)
    logged = {each["step"]: each["evaluation"] for each in read_log(tmp_path) if "evaluation" in each}
    assert [*logged] == [8, 12] and result.evaluation == {"texts/top1": 100}  # each text is its own class


def test_the_figures_of_a_benchmark_are_those_of_evaluate(tmp_path):
    data = write_esc50(tmp_path / "ESC-50", 8)
    figures = BenchmarkFigures(benchmark="esc50", data=data, options={"clips": 1, "templates": "name"})
    measured = figures(imagebind_tiny(pretrained=True, modalities=["text", "audio"]))
    assert measured["top1"] >= 50
