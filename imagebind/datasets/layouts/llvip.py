"""LLVIP: visible/train/*.jpg and infrared/train/*.jpg with equal names, and the same for test."""

import os

from imagebind.datasets.layouts.found import Found, folder_at, found
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

VISIBLE, INFRARED = "visible", "infrared"
SPLITS = ("train", "test")
IMAGE_PATTERN = "*.jpg"


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
        raise MediaError(str(root), got="no images", expected=f"{VISIBLE}/{split} and {INFRARED}/{split}")
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
    return found("LLVIP", root, pairs, missing)
