"""Moments in long recordings of the toy world, by queries of each modality."""

import os
from pathlib import Path

from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.moments import MomentRecordings
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind
from imagebind.toyworld.recordings import write_recordings

RECORDINGS, SCENES, SEED = 10, 20, 2


def read_recordings(
    root: str | os.PathLike[str], *, recordings: int = RECORDINGS, scenes: int = SCENES, seed: int = SEED
) -> MomentRecordings:
    """Return recordings of held-out scenes, which are written into the folder unless it has them."""
    folder = Path(root) / f"recordings-{seed}-{scenes}"
    return MomentRecordings(
        write_recordings(
            folder, recordings, shots=scenes, seed=seed, held_out=True, workers=os.cpu_count() or 1
        )
    )


BENCHMARKS = (
    Benchmark(
        name="toyworld-moments",
        title="Toy world, moments",
        task=Task.TOY_WORLD,
        media=MediaKind.VIDEO,
        read=read_recordings,
        metric="text_by_sum",
        options={
            "recordings": Choice(value=RECORDINGS, reason="200 queries of each modality"),
            "scenes": Choice(value=SCENES, reason="2 to 6 s each, 80 s in all; all of them differ"),
            "seed": Choice(value=SEED, reason="not the recordings on which the method was chosen"),
        },
        needs="nothing: the recordings are written once, about 10 MB",
        url="imagebind.toyworld",
        licence="Apache-2.0",
        folder="toyworld-moments",
    ),
)
