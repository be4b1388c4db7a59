"""AudioCaps: audio by its captions."""

from imagebind.datasets.layouts.audiocaps import audiocaps
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="audiocaps",
        title="AudioCaps",
        task=Task.RETRIEVAL,
        media=MediaKind.AUDIO,
        read=audiocaps,
        options={
            "split": Choice(value="test", reason="the paper: five captions of each test clip, each a query"),
            "split_file": Choice(
                value=None,
                reason="the paper: the 796 clips that are not in VGGSound; a file of their ids selects them, "
                "unless the table is of these alone",
            ),
            "clips": Choice(value=5, reason="the paper: clips of 2 s that cover the input, here 10 s"),
        },
        paper={"R@1": 9.3, "R@10": 42.3},
        paper_samples=3980,
        needs="test.csv or dataset/test.csv, **/<youtube_id>.wav",
        url="https://github.com/cdjkim/audiocaps",
        licence="see the data set's page",
    ),
)
