"""LLVIP: people and background in thermal images."""

from imagebind.datasets.layouts.llvip import llvip_crops
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="llvip",
        title="LLVIP",
        task=Task.CLASSIFICATION,
        media=MediaKind.THERMAL,
        read=llvip_crops,
        options={
            "templates": Choice(
                value=CLIP_TEMPLATES.value,
                reason="the paper: CLIP's 80; how several names of a class combine is unpublished, "
                "ours: their maximum",
            ),
            "split": Choice(
                value="test",
                reason="the paper: each annotated person, and as many random boxes of the same sizes",
            ),
            "seed": Choice(
                value=0,
                reason="unpublished; ours: one box without any person for each person, from a fixed seed",
            ),
            "thermal_normalize": Choice(
                value="range", reason="unpublished; users measured 62.4 with values / 255, as stored"
            ),
        },
        paper={"top1": 63.4},
        paper_samples=15_809,
        num_classes=2,
        needs="infrared/test/*.jpg, Annotations/*.xml",
        url="https://bupt-ai-cz.github.io/LLVIP/",
        licence="see the data set's page",
    ),
)
