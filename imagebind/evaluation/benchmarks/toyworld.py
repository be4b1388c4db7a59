"""The toy world: classification and retrieval on held-out scenes, with controls."""

from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.evaluation.toyworld import (
    HELD_OUT_SCENES,
    HELD_OUT_SEED,
    card_figures,
    held_out_world,
)
from imagebind.modality import MediaKind

BENCHMARKS = (
    Benchmark(
        name="toyworld",
        title="Toy world",
        task=Task.TOY_WORLD,
        media=MediaKind.AUDIO,
        read=held_out_world,
        options={
            "scenes": Choice(value=HELD_OUT_SCENES, reason="as for the card of imagebind_tiny"),
            "seed": Choice(value=HELD_OUT_SEED, reason="scenes that no model was trained on"),
        },
        paper=card_figures(),
        paper_samples=HELD_OUT_SCENES,
        needs="nothing: the scenes are rendered once, about 0.7 GB",
        url="imagebind.toyworld",
        licence="Apache-2.0",
    ),
)
