"""Clotho: audio by its captions."""

from imagebind.datasets.layouts.clotho import clotho
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="clotho",
        title="Clotho",
        task=Task.RETRIEVAL,
        media=MediaKind.AUDIO,
        read=clotho,
        options={
            "split": Choice(value="evaluation", reason="the paper: each of the five captions is a query"),
            "clips": Choice(
                value=15, reason="the paper: clips of 2 s that cover the input; recordings have 15 to 30 s"
            ),
        },
        paper={"R@1": 6.0, "R@10": 28.4},
        paper_samples=5225,
        needs="clotho_captions_evaluation.csv, evaluation/*.wav",
        url="https://zenodo.org/records/4783391",
        licence="see the data set's page",
    ),
)
