"""Benchmarks `Embedder.encode` relative to the slower of its two stages alone: decoding and computing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from imagebind.benchmark.images import write_images
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import seconds
from imagebind.embedder import Embedder
from imagebind.intake.requests import identify, prepare
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

SECTION = "encode"
TARGET_SHARE_OF_SLOWER = 0.85  # of the speed of the slower stage alone
MAX_REPEATS = 3  # a pass over the images takes long enough for stable times


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Alternate each stage alone and both together, over JPEG files with the vision trunk."""
    paths = write_images(folder / "images", size.images, size.image_size)
    embedder = Embedder(ImageBindModel(size.config, modalities=[ModalityType.VISION]).eval())
    embedder.encode(paths[: size.batch], batch_size=size.batch)  # warm-up, not counted
    turns = [_turn(embedder, paths, size.batch) for _ in range(min(size.repeats, MAX_REPEATS))]
    decoding, computing, together = (median(times) for times in zip(*turns, strict=True))
    yield Row(
        section=SECTION,
        name=f"encode {len(paths)} JPEG files of {size.image_size[0]} x {size.image_size[1]}, vision "
        "trunk: speed against the slower stage alone",
        value=median(max(stages) / whole for *stages, whole in turns),
        unit="",
        target=TARGET_SHARE_OF_SLOWER,
        detail=f"decoding alone {decoding:.2f} s, computing alone {computing:.2f} s, encode {together:.2f} s "
        f"with {embedder.num_workers} decoders",
    )


def _turn(embedder: Embedder, paths: list[Path], batch: int) -> tuple[float, float, float]:
    views: list[Tensor] = []
    decoding = seconds(lambda: views.extend(_decode(embedder, paths)))
    batches = torch.cat(views).split(batch)
    computing = seconds(lambda: [embedder.forward(ModalityType.VISION, rows).cpu() for rows in batches])
    return decoding, computing, seconds(lambda: embedder.encode(paths, batch_size=batch))


def _decode(embedder: Embedder, paths: list[Path]) -> list[Tensor]:
    def load(path: Path) -> Tensor:
        request = identify(path)
        return prepare(request, embedder.transform(request.kind)).views

    with ThreadPoolExecutor(embedder.num_workers) as pool:
        return list(pool.map(load, paths))
