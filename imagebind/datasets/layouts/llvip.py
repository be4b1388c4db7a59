"""LLVIP: visible/train/*.jpg and infrared/train/*.jpg with equal names, the same for test, Annotations/*.xml.

`llvip` returns pairs for training, `llvip_crops` labelled crops of people and background for evaluation.
"""

import logging
import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from zlib import crc32

import numpy as np
from PIL import Image

from imagebind.datasets.classes import known_classes
from imagebind.datasets.labelled import LabelledItem, LabelledSet, LazyItem
from imagebind.datasets.layouts.folders import has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import Found, folder_at, found_pairs
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError, MissingMediaError
from imagebind.modality import ModalityType

VISIBLE, INFRARED = "visible", "infrared"
SPLITS = ("train", "test")
IMAGE_PATTERN = "*.jpg"
ANNOTATIONS = "Annotations"
PERSON, BACKGROUND = "person", "background"
NORMALIZATIONS = ("range", "image")
BACKGROUND_TRIES = 4096  # random boxes; the first that overlaps no person is used

ReadImage = Callable[[Path], Image.Image]

logger = logging.getLogger(__name__)


def llvip(root: str | os.PathLike[str], *, split: str) -> Found:
    """Return pairs of visible and infrared images in a split, "train" or "test".

    Raises:
        MediaError: the folder does not exist, or has no pair.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    visible, infrared = (
        {path.name: path for path in (root / folder / split).glob(IMAGE_PATTERN)}
        for folder in (VISIBLE, INFRARED)
    )
    if not visible and not infrared:
        raise MissingMediaError(
            str(root), got="none", expected=f"images ({VISIBLE}/{split}/*.jpg and {INFRARED}/{split}/*.jpg)"
        )
    pairs = [
        Pair(
            vision={"image": visible[name]},
            other={"thermal": infrared[name]},
            modality=ModalityType.THERMAL,
            name=f"LLVIP {split}/{name}",
        )
        for name in sorted(visible.keys() & infrared.keys())
    ]
    missing = [str(root / INFRARED / split / name) for name in sorted(visible.keys() - infrared.keys())]
    missing += [str(root / VISIBLE / split / name) for name in sorted(infrared.keys() - visible.keys())]
    return found_pairs("LLVIP", root, pairs, missing)


class PixelBox(NamedTuple):
    """A box in pixels: left and top inclusive, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def llvip_crops(
    root: str | os.PathLike[str], *, split: str = "test", seed: int = 0, thermal_normalize: str = "range"
) -> LabelledSet:
    """Return a crop of each annotated person, and a crop of the background of the same size.

    The background's box is random, from `seed` and the image's name, and overlaps no person. If no tried box
    is free, that background crop is left out; their number is logged. Without the folder infrared, reads
    <root>/<split>/<person or background>/<file>.

    Args:
        thermal_normalize: "range" keeps the 8 bits as released; "image" stretches each crop between its
            minimum and maximum.

    Raises:
        MediaError: a folder is missing, or has no images.
        ValueError: the split or the normalization is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if thermal_normalize not in NORMALIZATIONS:
        expected = ", ".join(NORMALIZATIONS)
        raise ValueError(f"thermal_normalize: expected one of {expected}, got {thermal_normalize!r}")
    root = folder_at(root)
    classes, number_of = known_classes("llvip")
    if not (root / INFRARED).is_dir() and has_class_folders(root / split):
        items = items_in_folders(
            root / split, number_of, lambda path: _crop_item(path, _read_image, thermal_normalize)
        )
        return LabelledSet(classes=classes, items=items)
    folder = folder_at(root / INFRARED / split, f"the thermal images, {IMAGE_PATTERN}")
    annotations = folder_at(root / ANNOTATIONS, "the boxes of people, <image>.xml")
    images = sorted(folder.glob(IMAGE_PATTERN))
    if not images:
        raise MissingMediaError(str(folder), got="none", expected=f"images ({IMAGE_PATTERN})")
    visible = {path.name for path in (root / VISIBLE / split).glob(IMAGE_PATTERN)}
    missing = [str(folder / name) for name in sorted(visible - {path.name for path in images})]
    image_of = lru_cache(maxsize=1)(_read_image)  # the crops of an image follow each other
    items = []
    damaged: list[str] = []
    crowded = 0
    for path in images:
        try:
            with Image.open(path) as image:
                width, height = image.size
            people = person_boxes(annotations / f"{path.stem}.xml", width, height)
        except MediaError as error:
            damaged.append(str(error))
            continue
        except Exception as error:  # Pillow raises many types for damaged files
            damaged.append(f"{path}: cannot be read ({error})")
            continue
        rng = np.random.default_rng([seed, crc32(path.stem.encode())])
        for number, box in enumerate(people):
            background = background_box(box, people, width, height, rng)
            crowded += background is None
            items += [
                LabelledItem(
                    item=_crop_item(path, image_of, thermal_normalize, each),
                    name=f"LLVIP {split}/{path.stem} {label} {number}",
                    labels=(number_of[label],),
                )
                for label, each in ((PERSON, box), (BACKGROUND, background))
                if each is not None
            ]
    if crowded:
        logger.warning("LLVIP: %d people without a background crop: no room of their size", crowded)
    return LabelledSet(classes=classes, items=items, missing=missing, damaged=damaged)


def person_boxes(annotation: Path, width: int, height: int) -> list[PixelBox]:
    """Return the boxes of people in a file of PASCAL VOC's format, clipped to the image.

    Raises:
        MediaError: the file is missing or damaged, or a box has no area within the image.
    """
    expected = "an annotation in PASCAL VOC's format"
    try:
        objects = ElementTree.parse(annotation).getroot().findall("object")
    except FileNotFoundError as error:
        raise MediaError(str(annotation), got="no such file", hint=f"it should be {expected}") from error
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:  # also for encodings
        raise MediaError(
            str(annotation), got=f"a file that cannot be read ({error})", expected=expected
        ) from error
    boxes = []
    for number, each in enumerate(objects, start=1):
        if (each.findtext("name") or "").strip() != PERSON:
            continue
        texts = [each.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        try:
            left, top, right, bottom = (round(float(text or "")) for text in texts)
        except (ValueError, OverflowError) as error:
            raise MediaError(
                f"{annotation}, object {number}", got=str(texts), expected="four sides as numbers"
            ) from error
        box = PixelBox(max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        if box.left >= box.right or box.top >= box.bottom:
            raise MediaError(
                f"{annotation}, object {number}",
                got=f"{left}, {top}, {right}, {bottom}",
                expected=f"a box with an area within {width} x {height} pixels",
            )
        boxes.append(box)
    return boxes


def background_box(
    box: PixelBox, people: list[PixelBox], width: int, height: int, rng: np.random.Generator
) -> PixelBox | None:
    """Return a random box of a box's size that overlaps no person; None if all tried boxes overlap one."""
    across, down = box.right - box.left, box.bottom - box.top
    left = rng.integers(0, width - across, BACKGROUND_TRIES, endpoint=True)  # (n,)
    top = rng.integers(0, height - down, BACKGROUND_TRIES, endpoint=True)
    is_free = np.ones(BACKGROUND_TRIES, dtype=bool)
    for person in people:
        is_free &= (
            (left >= person.right)
            | (left + across <= person.left)
            | (top >= person.bottom)
            | (top + down <= person.top)
        )
    if not is_free.any():
        return None
    first = is_free.argmax()
    corner = int(left[first]), int(top[first])
    return PixelBox(*corner, corner[0] + across, corner[1] + down)


def _crop_item(path: Path, image_of: ReadImage, normalize: str, box: PixelBox | None = None) -> LazyItem:
    load = partial(_crop, path, image_of, normalize, box)
    return LazyItem(load=load, sources=(path, normalize, *(box or ())))


def _crop(path: Path, image_of: ReadImage, normalize: str, box: PixelBox | None) -> dict[str, Any]:
    """Return a crop, or the whole image, as an item."""
    image = image_of(path) if box is None else image_of(path).crop(box)
    if normalize == "range":
        return {"thermal": image}
    values = np.asarray(image.convert("L"), dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    return {"thermal": values, "low": low, "high": max(high, low + 1)}  # a uniform crop becomes 0


def _read_image(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:  # as above
        raise MediaError(
            str(path), got=f"a file that cannot be read ({error})", expected="an image"
        ) from error
