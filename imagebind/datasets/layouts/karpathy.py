"""Captions of Flickr30k and COCO in Karpathy's splits, and their images.

The table is dataset_<name>.json: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}; or a CSV with
filename, split and raw (a JSON list of captions); or a CSV of one split with image and caption. Images are
found by file name in any folder below the root.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagebind.datasets.labelled import RetrievalSet
from imagebind.datasets.layouts.captions import captioned
from imagebind.datasets.layouts.found import file_below, folder_at
from imagebind.datasets.tables import json_at, numbered_rows
from imagebind.errors import MediaError

SPLITS = ("test", "val", "train")
CAPTIONS_PER_IMAGE = 5  # some of COCO's images have six or seven
EXPECTED_JSON = 'JSON with "images", each with filename, split and sentences'
IMAGE_PATTERNS = ("*.jpg", "*.jpeg", "*.png")
FLICKR30K_TABLES = (
    "dataset_flickr30k.json",
    "flickr_annotations_30k.csv",
    "flickr30k_{split}_karpathy.csv",
    "flickr30k_{split}_karpathy.txt",
)
COCO_TABLES = ("dataset_coco.json", "coco_karpathy.csv", "coco_{split}_karpathy.csv")


def flickr30k(
    root: str | os.PathLike[str], *, split: str = "test", captions: int = CAPTIONS_PER_IMAGE
) -> RetrievalSet:
    """Return the captions of a split of Flickr30k as queries, and its images as candidates.

    Args:
        captions: use only this many captions of each image, from the first on.

    Raises:
        MediaError: the folder or the table is missing, or the table is damaged or has no caption.
        ValueError: the split is unknown, or `captions` is less than 1.
    """
    return _karpathy(root, FLICKR30K_TABLES, split, captions)


def coco(
    root: str | os.PathLike[str], *, split: str = "test", captions: int = CAPTIONS_PER_IMAGE
) -> RetrievalSet:
    """Return the captions of a split of COCO as queries, and its images as candidates; see `flickr30k`."""
    return _karpathy(root, COCO_TABLES, split, captions)


def _karpathy(root: str | os.PathLike[str], tables: Sequence[str], split: str, captions: int) -> RetrievalSet:
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if captions < 1:
        raise ValueError(f"captions: expected at least 1, got {captions}")
    root = folder_at(root)
    table = file_below(root, [name.format(split=split) for name in tables])
    files = {path.name: path for pattern in IMAGE_PATTERNS for path in sorted(root.rglob(pattern))}
    texts: dict[str, list[str]] = {}
    for name, its_split, its_texts in _of_json(table) if table.suffix == ".json" else _of_csv(table, split):
        if its_split == split:
            texts.setdefault(Path(name).name, []).extend(its_texts)
    return captioned(
        root,
        {name: {"image": files[name]} for name in texts if name in files},
        [(name, text) for name, its_texts in texts.items() for text in its_texts[:captions]],
        missing=[str(root / "**" / name) for name in texts if name not in files],
    )


def _of_json(table: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the file, the split and the captions of each image."""
    try:
        for each in json_at(table, EXPECTED_JSON)["images"]:
            captions = [str(sentence["raw"]) for sentence in each["sentences"]]
            yield str(each["filename"]), each["split"], captions
    except (KeyError, TypeError) as error:
        raise _unreadable(str(table), error, EXPECTED_JSON) from error


def _of_csv(table: Path, split: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the file, the split and the captions of each row."""
    rows = numbered_rows(table, ())
    if rows and {"image", "caption"} <= rows[0][1].keys():
        yield from ((row["image"], split, [row["caption"]]) for _, row in rows)
        return
    for number, row in rows:
        try:
            captions = json.loads(row["raw"])
            if not isinstance(captions, list):
                raise TypeError(f"{row['raw']:.100} is no list of captions")
            yield row["filename"], row["split"], [str(caption) for caption in captions]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            expected = "a row of image and caption, or of filename, split and raw"
            raise _unreadable(f"{table}, line {number}", error, expected) from error


def _unreadable(item: str, error: Exception, expected: str) -> MediaError:
    got = f"one that cannot be read ({type(error).__name__}: {error})"
    return MediaError(item, got=got, expected=expected)
