"""ImageNet-1K: 1000 classes of images."""

from imagebind.datasets.layouts.imagenet import imagenet
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="imagenet",
        title="ImageNet-1K",
        task=Task.CLASSIFICATION,
        media=MediaKind.IMAGE,
        read=imagenet,
        options={"templates": CLIP_TEMPLATES},
        paper={"top1": 77.7},
        paper_samples=50_000,
        num_classes=1000,
        needs="val/<wnid>/*.JPEG, or val/*.JPEG and ILSVRC2012_devkit_t12/data/",
        url="https://image-net.org",
        licence="see the data set's page",
    ),
)
