"""AVE: 28 classes of audio-visual events."""

from imagebind.datasets.layouts.ave import ave
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="ave",
        title="AVE",
        task=Task.CLASSIFICATION,
        media=MediaKind.AUDIO,
        read=ave,
        options={
            "templates": Choice(
                value=CLIP_TEMPLATES.value, reason="as the paper's other sets; ours: classes as in the data"
            ),
            "split": Choice(value="test", reason="ours: the data set's own split"),
            "clips": Choice(value=5, reason="ours: clips of 2 s over all 10 s, not only over the event"),
        },
        num_classes=28,
        needs="Annotations.txt, testSet.txt, AVE/<id>.mp4",
        url="https://sites.google.com/view/audiovisualresearch",
        licence="see the data set's page",
    ),
)
