"""Read boxes from COCO and csv files; convert detections to COCO's format."""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from imagebind.applications.boxes import ImageDetections
from imagebind.errors import MediaError
from imagebind.io.source import open_source

EDGES = ("left", "top", "right", "bottom")
CORNERS = (EDGES, ("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"))  # columns of a csv file
CORNER_AND_SIZE = (("x", "y", "width", "height"), ("x", "y", "w", "h"))  # x, y: the top left corner
IMAGE_COLUMNS = ("image", "file_name", "filename", "file", "path")
EXPECTED_FILE = (
    "COCO's JSON (images and annotations, or results), or a csv file with the columns left, top, right, "
    "bottom or x, y, width, height, and a column image if it has boxes of several images"
)


def read_boxes(path: str | os.PathLike[str], image: str) -> np.ndarray:
    """Return the boxes of an image from a COCO or csv file: (n, 4) float32, edges in pixels.

    Args:
        image: the path of the image. If the file names images, only the boxes of
            those with this file name are returned.

    Raises:
        MediaError: the file cannot be read, has another format, or does not tell which boxes are the image's.
    """
    name = os.fspath(path)
    with open_source(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
        rows = _coco(json.loads(text), image) if text.lstrip()[:1] in ("{", "[") else _table(text, image)
        return np.array(rows, dtype=np.float32).reshape(-1, 4)
    except KeyError as error:
        raise MediaError(name, got=f"an entry without {error.args[0]}", expected=EXPECTED_FILE) from error
    except LookupError as error:
        raise MediaError(name, got=str(error.args[0]), expected=EXPECTED_FILE) from error
    except UnicodeDecodeError as error:
        raise MediaError(name, got="bytes that are not text", expected=EXPECTED_FILE) from error
    except (json.JSONDecodeError, RecursionError) as error:  # brackets nested too deeply
        raise MediaError(name, got=f"damaged JSON ({error})", expected=EXPECTED_FILE) from error
    except (ValueError, TypeError, AttributeError) as error:  # entries or numbers of other types
        got = f"entries of another form ({str(error).partition(chr(10))[0]})"
        raise MediaError(name, got=got, expected=EXPECTED_FILE) from error


def to_coco(images: Iterable[ImageDetections]) -> dict[str, Any]:
    """Return detections in COCO's format: images, categories and annotations; ids start at 1.

    An annotation also has `score` and `cosine`, and in a video `track_id`. A frame of a video also has
    `seconds`. Masks are uncompressed run lengths, which `pycocotools` can read.
    """
    listed = list(images)
    names = dict.fromkeys(found.query for image in listed for found in image.detections)
    for image in listed:
        names |= dict.fromkeys(image.queries)
    ids = {name: number for number, name in enumerate(names, start=1)}
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(listed, start=1):
        record = {
            "id": image_id,
            "file_name": image.name,
            "width": image.width,
            "height": image.height,
        }
        records.append(record if image.seconds is None else record | {"seconds": round(image.seconds, 6)})
        for found in image.detections:
            left, top, right, bottom = found.box
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[found.query],
                "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
                "area": round(found.area, 2),
                "iscrowd": int(found.mask is not None),  # in COCO, 1 marks run lengths
                "score": round(found.score, 6),
                "cosine": round(found.cosine, 6),
            }
            if found.mask is not None:
                annotation["segmentation"] = run_lengths(found.mask)
            if found.track is not None:
                annotation["track_id"] = found.track
            annotations.append(annotation)
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": records, "categories": categories, "annotations": annotations}


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask (h, w) as COCO's run lengths: alternating counts of zeros and ones, column by column."""
    flat = np.concatenate([[False], mask.astype(bool).ravel(order="F")])
    changes = np.flatnonzero(np.diff(flat))
    counts = np.diff([0, *changes, mask.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}


def _coco(content: Any, image: str) -> list[list[float]]:
    if isinstance(content, Mapping):
        if missing := [key for key in ("images", "annotations") if key not in content]:
            raise LookupError(f"JSON without {' and '.join(missing)}")
        named = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        own = _names_of(image, named.values())
        wanted = {number for number, name in named.items() if name in own}
        if not wanted:
            raise LookupError(f"no image named {PurePath(image).name} among {len(named)}")
        annotations: Sequence[Any] = content["annotations"]
    else:
        wanted = {entry["image_id"] for entry in content}
        if len(wanted) > 1:
            raise LookupError(f"results for {len(wanted)} images, without their names")
        annotations = content
    boxes = [entry["bbox"] for entry in annotations if entry["image_id"] in wanted]
    return [[left, top, left + width, top + height] for left, top, width, height in boxes]


def _table(text: str, image: str) -> list[list[float]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows:
        raise LookupError("no rows")
    header = [name.strip().lower() for name in rows[0]]
    names = next((names for names in (*CORNERS, *CORNER_AND_SIZE) if set(names) <= set(header)), None)
    if names is None:
        raise LookupError(f"the columns {', '.join(rows[0])}")
    column = next((name for name in IMAGE_COLUMNS if name in header), None)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise LookupError(f"{len(row)} values in row {number}, for {len(header)} columns")
    records = [dict(zip(header, row, strict=True)) for row in rows[1:]]
    if column is not None:
        own = _names_of(image, (each[column] for each in records))
        found = [each for each in records if each[column] in own]
        if records and not found:
            raise LookupError(f"no image named {PurePath(image).name} in the column {column}")
        records = found
    boxes = [[_number(record[name], name) for name in names] for record in records]
    if names in CORNERS:
        return boxes
    return [[x, y, x + width, y + height] for x, y, width, height in boxes]


def _names_of(image: str, names: Iterable[str]) -> set[str]:
    """Return the names in a file that refer to an image: those with its file name.

    If several paths have this file name, the only one returned is the one with which the image's path ends.

    Raises:
        LookupError: several paths have this file name, and not exactly one is the end of the image's path.
    """
    path = PurePath(image)
    same = {name for name in names if PurePath(name).name == path.name}
    if len(same) > 1:
        parts = {name: PurePath(name).parts for name in same}
        ends = {name for name in same if path.parts[-len(parts[name]) :] == parts[name]}
        if len(ends) != 1:
            raise LookupError(f"several images named {path.name}: {', '.join(sorted(same))}")
        return ends
    return same


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LookupError(f"{text!r} in the column {column}") from None
