"""AudioSet: 527 classes of sounds, several in a clip."""

from imagebind.datasets.layouts.audioset import audioset_clips
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="audioset",
        title="AudioSet",
        task=Task.MULTI_LABEL,
        media=MediaKind.AUDIO,
        read=audioset_clips,
        options={
            "templates": Choice(
                value=CLIP_TEMPLATES.value,
                reason="the paper: CLIP's 80; ours: the display names as in class_labels_indices.csv",
            ),
            "split": Choice(value="eval", reason="the paper: clips of the evaluation set that still exist"),
            "clips": Choice(value=5, reason="the paper: clips of 2 s that cover the input, here 10 s"),
        },
        paper={"mAP": 17.6},
        paper_samples=19_048,
        num_classes=527,
        needs="eval_segments.csv, class_labels_indices.csv, **/<ytid>.wav",
        url="https://research.google.com/audioset/",
        licence="CC BY 4.0 (lists and labels); the clips belong to their authors",
    ),
)
