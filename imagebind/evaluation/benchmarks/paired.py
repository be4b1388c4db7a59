"""Retrieval that no paper reports: between vision and another modality, and in the user's own pairs."""

from imagebind.datasets.layouts.paired import (
    MAX_PAIRS,
    ave_pairs,
    llvip_pairs,
    paired_folders,
    sun_rgbd_pairs,
    vggsound_pairs,
)
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

SPLIT = Choice(value="test", reason="ours: the data set's own split")
PAIRS = Choice(value=MAX_PAIRS, reason="ours: at most 1,000, from a fixed seed; recall depends on the number")
VIDEO_PAIR_OPTIONS = {
    "split": SPLIT,
    "pairs": PAIRS,
    "clips": Choice(value=5, reason="ours: clips of 2 s that cover the 10 s, of audio and of video"),
    "crops": Choice(value=3, reason="the released loader: three crops of each clip"),
}
BENCHMARKS = (
    Benchmark(
        name="sun_rgbd_pairs",
        title="SUN RGB-D depth to image",
        task=Task.RETRIEVAL,
        media=MediaKind.IMAGE,
        read=sun_rgbd_pairs,
        options={"split": SPLIT, "pairs": PAIRS},
        needs="SUNRGBD/, SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat",
        url="https://rgbd.cs.princeton.edu",
        licence="see the data set's page",
        folder="sun_rgbd",
    ),
    Benchmark(
        name="llvip_pairs",
        title="LLVIP thermal to image",
        task=Task.RETRIEVAL,
        media=MediaKind.IMAGE,
        read=llvip_pairs,
        options={"split": SPLIT, "pairs": PAIRS},
        needs="infrared/test/*.jpg, visible/test/*.jpg",
        url="https://bupt-ai-cz.github.io/LLVIP/",
        licence="see the data set's page",
        folder="LLVIP",
    ),
    Benchmark(
        name="vggsound_pairs",
        title="VGGSound audio to video",
        task=Task.RETRIEVAL,
        media=MediaKind.VIDEO,
        read=vggsound_pairs,
        options=VIDEO_PAIR_OPTIONS,
        needs="vggsound.csv, **/<ytid>_<start>.mp4",
        url="https://www.robots.ox.ac.uk/~vgg/data/vggsound/",
        licence="CC BY 4.0 (lists); the clips belong to their authors",
        folder="vggsound",
    ),
    Benchmark(
        name="ave_pairs",
        title="AVE audio to video",
        task=Task.RETRIEVAL,
        media=MediaKind.VIDEO,
        read=ave_pairs,
        options=VIDEO_PAIR_OPTIONS,
        needs="Annotations.txt, testSet.txt, AVE/<id>.mp4",
        url="https://sites.google.com/view/audiovisualresearch",
        licence="see the data set's page",
        folder="AVE",
    ),
    Benchmark(
        name="paired",
        title="Own pairs",
        task=Task.RETRIEVAL,
        media=MediaKind.AUDIO,
        read=paired_folders,
        options={
            "query": Choice(value="depth", reason="ours: any media type, the name of a folder"),
            "candidate": Choice(value="audio", reason="ours: any media type, the name of a folder"),
            "pairs": PAIRS,
        },
        needs="<media type>/<name>.* in two folders, such as depth/ and audio/",
        url="one's own files",
        licence="their owner's",
    ),
)
