"""ImageNet-1K: validation images in folders of their WordNet ids, or in one folder as downloaded.

In one folder, ILSVRC2012_validation_ground_truth.txt and meta.mat of the development kit state the classes.
"""

import os
from collections import Counter
from pathlib import Path

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.layouts.folders import has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import file_below, folder_at
from imagebind.datasets.layouts.matlab import EXTRA, mat_variables
from imagebind.datasets.tables import numbered_lines
from imagebind.errors import MediaError, MissingMediaError, import_extra

SPLIT = "val"
IMAGE_NAME = "ILSVRC2012_val_{:08}.JPEG"
KIT = "ILSVRC2012_devkit_t12/data"
# Possible paths of two files of the development kit; the first that exists is used.
TRUTH_FILES = tuple(f"{each}ILSVRC2012_validation_ground_truth.txt" for each in (f"{KIT}/", "", "data/"))
META_FILES = tuple(f"{each}meta.mat" for each in (f"{KIT}/", "", "data/"))


def imagenet(root: str | os.PathLike[str]) -> LabelledSet:
    """Return the validation images with their classes: val/<wnid>/*.JPEG, or val/ILSVRC2012_val_*.JPEG.

    The images may also be directly in the root. Class names are those of the package open_clip_torch.

    Raises:
        MediaError: a folder or file is missing or damaged.
        MissingExtraError: open_clip_torch is not installed, or scipy for `meta.mat`.
    """
    root = folder_at(root)
    classes, number_of = imagenet_classes()
    folder = root / SPLIT if (root / SPLIT).is_dir() else root
    if has_class_folders(folder) and not any(folder.glob("*.JPEG")):
        items = items_in_folders(folder, number_of, lambda path: {"image": path})
        return LabelledSet(classes=classes, items=items)
    if not any(folder.glob("ILSVRC2012_val_*.JPEG")):
        raise MissingMediaError(
            str(folder), got="none", expected="validation images (<wnid>/*.JPEG or ILSVRC2012_val_*.JPEG)"
        )
    wnid_of = _wnids_by_id(file_below(root, META_FILES))
    truth = file_below(root, TRUTH_FILES)
    items, missing = [], []
    for number, (line_number, line) in enumerate(numbered_lines(truth), start=1):
        path = folder / IMAGE_NAME.format(number)
        wnid = wnid_of.get(line)
        if wnid not in number_of:
            raise MediaError(f"{truth}, line {line_number}", got=repr(line), expected="the id of a class")
        if not path.is_file():
            missing.append(str(path))
            continue
        items.append(LabelledItem(item={"image": path}, name=path.name, labels=(number_of[wnid],)))
    return LabelledSet(classes=classes, items=items, missing=missing)


def imagenet_classes() -> tuple[list[ClassNames], dict[str, int]]:
    """Return the 1000 classes in the order of their WordNet ids, and the number of each id.

    Raises:
        MissingExtraError: open_clip_torch is not installed.
    """
    from timm.data import ImageNetInfo

    open_clip = import_extra("open_clip", extra=EXTRA, purpose="the class names of ImageNet")
    names = open_clip.IMAGENET_CLASSNAMES
    wnids = sorted(ImageNetInfo("imagenet-1k").label_names())
    count = Counter(names)  # two names occur twice
    return (
        [
            ClassNames(label=name if count[name] == 1 else f"{name} ({wnid})", names=(name,))
            for name, wnid in zip(names, wnids, strict=True)
        ],
        {wnid: number for number, wnid in enumerate(wnids)},
    )


def _wnids_by_id(meta: Path) -> dict[str, str]:
    """Return the WordNet id of each class by its ILSVRC2012_ID, as text."""
    synsets = mat_variables(meta, ["synsets"])["synsets"]
    try:
        ids, wnids = synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist()
    except (ValueError, IndexError, AttributeError) as error:
        raise MediaError(
            str(meta), got="other fields", expected="synsets with ILSVRC2012_ID and WNID"
        ) from error
    return {str(number): str(wnid) for number, wnid in zip(ids, wnids, strict=True)}
