"""SUN RGB-D: 19 scene classes from depth of four sensors."""

from imagebind.datasets.layouts.sun_rgbd import sun_rgbd_scenes
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, FewShot, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="sun_rgbd",
        title="SUN RGB-D (SUN-D)",
        task=Task.CLASSIFICATION,
        media=MediaKind.DEPTH,
        read=sun_rgbd_scenes,
        options={
            "templates": CLIP_TEMPLATES,
            "split": Choice(value="test", reason="the paper: views of its 19 scenes in alltest"),
            "refined": Choice(value=True, reason="unpublished; our choice: depth_bfx, with holes filled"),
            "depth_preset": Choice(
                value="omnivore", reason="unpublished; the constants of Omnivore, which shares authors"
            ),
        },
        few_shot=FewShot(lr=1e-2, weight_decay=0.0, epochs=60),
        paper={"top1": 35.1},
        paper_samples=4660,
        num_classes=19,
        needs="SUNRGBD/{kv1,kv2,realsense,xtion}/, SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat",
        url="https://rgbd.cs.princeton.edu",
        licence="see the data set's page",
    ),
)
