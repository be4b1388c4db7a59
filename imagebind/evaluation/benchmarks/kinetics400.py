"""Kinetics-400: actions in videos, without their audio and with it."""

from imagebind.datasets.layouts.kinetics400 import AUDIO_WEIGHT, kinetics400, kinetics400_with_sound
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

NEEDS = "annotations/val.csv or val.csv, **/<youtube_id>_<start>_<end>.mp4"
URL = "https://github.com/cvdfoundation/kinetics-dataset"
LICENCE = "CC BY 4.0 (annotations); the clips belong to their authors"
CLIPS = Choice(value=5, reason="the paper: clips of 2 s that cover the input, here 10 s")
CROPS = Choice(value=3, reason="the released loader: three crops of each clip")
SPLIT = Choice(value="val", reason="the paper: the validation clips")
BENCHMARKS = (
    Benchmark(
        name="kinetics400",
        title="Kinetics-400",
        task=Task.CLASSIFICATION,
        media=MediaKind.VIDEO,
        read=kinetics400,
        options={"templates": CLIP_TEMPLATES, "split": SPLIT, "clips": CLIPS, "crops": CROPS},
        paper={"top1": 50.0},
        num_classes=400,
        needs=NEEDS,
        url=URL,
        licence=LICENCE,
    ),
    Benchmark(
        name="kinetics400_sound",
        title="Kinetics-400 with sound",
        task=Task.CLASSIFICATION,
        media=MediaKind.VIDEO,
        read=kinetics400_with_sound,
        options={
            "templates": CLIP_TEMPLATES,
            "split": SPLIT,
            "audio_weight": Choice(value=AUDIO_WEIGHT, reason="ours: the paper's weight for MSR-VTT"),
            "video_clips": CLIPS,
            "crops": CROPS,
            "audio_clips": CLIPS,
        },
        num_classes=400,
        needs=NEEDS,
        url=URL,
        licence=LICENCE,
        folder="kinetics400",
    ),
)
