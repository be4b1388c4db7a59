"""Places365: 365 classes of scenes."""

from imagebind.datasets.layouts.places365 import places365
from imagebind.evaluation.benchmark import CLIP_TEMPLATES, Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="places365",
        title="Places365",
        task=Task.CLASSIFICATION,
        media=MediaKind.IMAGE,
        read=places365,
        options={
            "templates": CLIP_TEMPLATES,
            "qualifier": Choice(
                value="before",
                reason="unpublished; ours: /a/balcony/exterior is named exterior balcony, as in English",
            ),
        },
        paper={"top1": 45.4},
        num_classes=365,
        needs="categories_places365.txt, places365_val.txt, val_256/ or val_large/",
        url="http://places2.csail.mit.edu",
        licence="see the data set's page",
    ),
)
