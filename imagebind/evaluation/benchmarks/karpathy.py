"""Flickr30k and COCO: images by their captions, and captions by their images."""

from imagebind.datasets.layouts.karpathy import CAPTIONS_PER_IMAGE, coco, flickr30k
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

OPTIONS = {
    "split": Choice(value="test", reason="Karpathy's split, as usual for CLIP models"),
    "captions": Choice(value=CAPTIONS_PER_IMAGE, reason="as usual: the first five captions of each image"),
}
BENCHMARKS = (
    Benchmark(
        name="flickr30k",
        title="Flickr30k",
        task=Task.RETRIEVAL,
        media=MediaKind.IMAGE,
        read=flickr30k,
        options=OPTIONS,
        needs="dataset_flickr30k.json or flickr_annotations_30k.csv, **/*.jpg",
        url="https://shannon.cs.illinois.edu/DenotationGraph/",
        licence="see the data set's page",
    ),
    Benchmark(
        name="coco",
        title="COCO",
        task=Task.RETRIEVAL,
        media=MediaKind.IMAGE,
        read=coco,
        options=OPTIONS,
        needs="dataset_coco.json, val2014/*.jpg",
        url="https://cocodataset.org, captions https://cs.stanford.edu/people/karpathy/deepimagesent/",
        licence="CC BY 4.0 (annotations); images by Flickr's terms of use",
    ),
)
