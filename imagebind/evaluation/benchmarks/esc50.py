"""ESC-50: environmental sounds of 50 classes in five folds."""

from imagebind.datasets.layouts.esc50 import esc50
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, FewShot, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="esc50",
        title="ESC-50",
        task=Task.CLASSIFICATION,
        media=MediaKind.AUDIO,
        read=esc50,
        options={
            "templates": CLIP_TEMPLATES,
            "folds": Choice(value=True, reason="the paper: the mean over the five folds"),
            "clips": Choice(value=3, reason="the paper's evaluation: clips of 2 s that cover the 5 s"),
        },
        protocols={
            "mteb": {
                "templates": Choice(value="This is a sound of {}", reason="mteb: one prompt"),
                "folds": Choice(value=False, reason="mteb: all 2,000 clips as one set"),
            },
            "ours": {
                "templates": Choice(value="short", reason="ours: four prompts that are about sounds"),
                "folds": Choice(value=False, reason="ours: as mteb; with equal folds the mean is the same"),
            },
        },
        few_shot=FewShot(lr=1.6e-3, weight_decay=0.05, epochs=50),
        paper={"top1": 66.9},
        other_figures={"mteb": {"top1": 66.4}},
        paper_samples=2000,
        num_classes=50,
        needs="meta/esc50.csv, audio/*.wav",
        url="https://github.com/karolpiczak/ESC-50",
        licence="CC BY-NC 3.0",
    ),
)
