"""Benchmarks of tokenising captions, and of the text trunk with and without their padding."""

from collections.abc import Iterator
from statistics import median

import torch

from imagebind.benchmark.captions import captions
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, in_fresh_process, ratios
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.transforms.text import Tokenizer, trim

SECTION = "text"
TARGET_CAPTIONS_PER_SECOND = 20_000  # tokenised on one core
TARGET_SPEEDUP = 5.0  # of the text trunk, against padding to 77


def measure(size: Size) -> Iterator[Row]:
    """Measure captions per second, then the text trunk with and without padding."""
    yield from _tokenising(size)
    yield _trimming(size)


def _tokenising(size: Size) -> Iterator[Row]:
    runs = [in_fresh_process("tokenize", str(size.captions)) for _ in range(size.repeats)]
    rates = {
        name: size.captions / median(run[name] for run in runs) for name in ("cold", "warm", "new_words")
    }
    yield Row(
        section=SECTION,
        name=f"tokenise {size.captions:,} different captions on one core, with an empty cache",
        value=rates["cold"],
        unit="a second",
        target=TARGET_CAPTIONS_PER_SECOND,
        detail=f"{rates['warm']:,.0f} a second when tokenised again, "
        f"{rates['new_words']:,.0f} with a new word in each; "
        f"reading the vocabulary takes {median(run['vocabulary'] for run in runs):.2f} s",
    )


def _trimming(size: Size) -> Row:
    model = ImageBindModel(size.config, modalities=[ModalityType.TEXT]).eval()
    name = ModalityType.TEXT.value
    ids = Tokenizer()(captions(size.caption_batch))  # (b, 77)

    def padded() -> None:
        prepared = model.modality_preprocessors[name](ids)
        model.modality_heads[name](model.modality_trunks[name](**prepared["trunk"]), **prepared["head"])

    with torch.inference_mode():
        trimmed, full = by_turns([lambda: model.embed(name, ids), padded], repeats=size.repeats)
    return Row(
        section=SECTION,
        name=f"text trunk on {size.caption_batch} captions of up to {trim(ids).shape[1]} tokens, "
        f"against padding to {ids.shape[1]}",
        value=median(ratios(full, trimmed)),
        unit="x as fast",
        target=TARGET_SPEEDUP,
        detail=f"{median(trimmed):.3f} s against {median(full):.3f} s",
    )
