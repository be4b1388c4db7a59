"""Tests of ImageNet-1K in both published layouts."""

import numpy as np
import pytest

from imagebind.datasets.layouts.imagenet import imagenet, imagenet_classes
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_images import WNIDS, write_imagenet_kit, write_imagenet_world, write_jpeg

GRAY = np.full((8, 8, 3), 99, dtype=np.uint8)


def labels(found) -> list[str]:
    return [found.classes[item.labels[0]].label for item in found.items]


def test_class_names_follow_the_order_of_the_wordnet_ids():
    classes, number_of = imagenet_classes()
    assert len(classes) == len(number_of) == len({each.label for each in classes}) == 1000
    assert classes[number_of["n01440764"]].names == ("tench",)
    assert classes[number_of["n02012849"]].names == ("crane bird",)
    assert classes[number_of["n03126707"]].names == ("construction crane",)
    assert classes[number_of["n04008634"]].label == "missile (n04008634)"
    assert classes[number_of["n15075141"]].names == ("toilet paper",)


def test_folders_of_wordnet_ids_are_classes(tmp_path):
    for wnid, number in (("n15075141", 3), ("n01440764", 293), ("n01440764", 12)):
        write_jpeg(tmp_path / "val" / wnid / f"ILSVRC2012_val_{number:08}.JPEG", GRAY)
    found = imagenet(tmp_path)
    assert labels(found) == ["tench", "tench", "toilet paper"]
    assert found.items[0].item["image"].name == "ILSVRC2012_val_00000012.JPEG"
    (tmp_path / "val" / "n99999999").mkdir()
    with pytest.raises(
        MediaError, match=r"n99999999: expected a folder with the name of a class .*, got 'n99999999'"
    ):
        imagenet(tmp_path)


@pytest.mark.parametrize("folder", ["val", ""])
def test_one_folder_of_images_takes_classes_from_the_development_kit(tmp_path, folder):
    for number in (1, 2, 4):
        write_jpeg(tmp_path / folder / f"ILSVRC2012_val_{number:08}.JPEG", GRAY)
    write_imagenet_kit(tmp_path, ["n15075141", "n01440764"], [2, 1, 1, 2])
    found = imagenet(tmp_path)
    assert labels(found) == ["tench", "toilet paper", "tench"]
    assert [name.split("_")[-1] for name in found.missing] == ["00000003.JPEG"]


def test_missing_or_invalid_files_are_named(tmp_path):
    with pytest.raises(MediaError, match=r"expected validation images \(<wnid>/\*\.JPEG or .*\), got none"):
        imagenet(tmp_path)
    write_jpeg(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG", GRAY)
    with pytest.raises(MediaError, match=r"meta\.mat: no such file; also tried meta"):
        imagenet(tmp_path)
    write_imagenet_kit(tmp_path, ["n15075141"], [1, 7])
    with pytest.raises(MediaError, match=r"ground_truth\.txt, line 2: expected the id of a class, got '7'"):
        imagenet(tmp_path)
    truth = next(tmp_path.rglob("*ground_truth.txt"))
    truth.write_text("1\n\n7\n")
    with pytest.raises(MediaError, match=r"ground_truth\.txt, line 3: expected"):
        imagenet(tmp_path)
    truth.unlink()
    with pytest.raises(MediaError, match=r"ground_truth\.txt: no such file"):
        imagenet(tmp_path)
    next(tmp_path.rglob("meta.mat")).write_bytes(b"damaged")
    with pytest.raises(
        MediaError, match=r"meta\.mat: expected a MATLAB file with synsets, got one that cannot be read"
    ):
        imagenet(tmp_path)


def test_the_small_model_recognises_shapes_by_their_image(world_embedder, tmp_path):
    root = write_imagenet_world(tmp_path)
    classes, number_of = imagenet_classes()
    names = {each.label: "nothing" for each in classes}
    names |= {classes[number_of[wnid]].label: shape for shape, wnid in WNIDS.items()}
    options = {"templates": "short", "names": names}
    result = evaluate("imagenet", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 16 and result.figures["top1"].value >= 80
    assert result.figures["top1"].chance == pytest.approx(0.1)
    best = result.detail.scores.argmax(dim=1)
    assert (best == result.detail.target.roll(7)).double().mean() < 0.4, "with shuffled labels"
