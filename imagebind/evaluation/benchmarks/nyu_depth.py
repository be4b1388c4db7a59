"""NYU-Depth v2: scene types from depth, nine and all others as one class."""

from imagebind.datasets.layouts.nyu_depth import nyu_depth
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="nyu_depth",
        title="NYU-Depth v2 (NYU-D)",
        task=Task.CLASSIFICATION,
        media=MediaKind.DEPTH,
        read=nyu_depth,
        options={
            "templates": CLIP_TEMPLATES,
            "split": Choice(
                value="test",
                reason="the paper; splits.mat has 654 test frames, the paper's authors counted 653",
            ),
            "filled": Choice(value=True, reason="unpublished; ours: `depths`, with holes filled"),
            "rotated": Choice(
                value=False, reason="community: SUN RGB-D's copy of this data set has plain millimetres"
            ),
            "unknown_scenes": Choice(
                value="error", reason="unpublished: the scene types of the scenes in SUN RGB-D's copy"
            ),
            "depth_preset": Choice(
                value="omnivore",
                reason="unpublished; Omnivore's, which shares authors",
            ),
        },
        paper={"top1": 54.0},
        paper_samples=653,
        num_classes=10,
        needs="splits.mat, and nyu_depth_v2_labeled.mat or SUN RGB-D's copy, SUNRGBD/kv1/NYUdata/",
        url="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        licence="see the data set's page",
        folder="NYU-Depth v2",
    ),
)
