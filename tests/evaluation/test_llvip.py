"""Tests of LLVIP's crops: boxes, backgrounds, normalization, folders."""

import logging

import numpy as np
import pytest

from imagebind.datasets.layouts.llvip import PixelBox, background_box, llvip_crops, person_boxes
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from imagebind.transforms.thermal import ThermalTransform
from tests.evaluation.layouts_sensors import write_infrared, write_llvip_world, write_voc

PEOPLE = [("person", 10, 20, 30, 60), ("person", 60, 5, 75, 35)]
GRADIENT = np.tile(np.linspace(40, 167, 128).astype(np.uint8), (96, 1))  # (96, 128)


@pytest.fixture
def small(tmp_path):
    write_infrared(tmp_path / "infrared" / "test" / "190001.jpg", GRADIENT)
    write_voc(tmp_path / "Annotations" / "190001.xml", [*PEOPLE, ("car", 0, 0, 9, 9)], (128, 96))
    write_voc(tmp_path / "Annotations" / "010001.xml", PEOPLE, (128, 96))  # of the training split
    return tmp_path


def overlap(one, other) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_each_person_has_a_crop_and_a_background_of_its_size_without_a_person(small):
    found = llvip_crops(small)
    assert [found.classes[item.labels[0]].label for item in found.items] == ["person", "background"] * 2
    assert found.classes[0].names == ("person", "man", "woman", "people")
    boxes = [item.item.sources[2:] for item in found.items]
    assert [boxes[0], boxes[2]] == [tuple(each[1:]) for each in PEOPLE]
    for person, background in (boxes[:2], boxes[2:]):
        assert [background[i + 2] - background[i] for i in (0, 1)] == [
            person[i + 2] - person[i] for i in (0, 1)
        ]
        assert not any(overlap(background, each[1:]) for each in PEOPLE)
        assert background[0] >= 0 and background[1] >= 0 and background[2] <= 128 and background[3] <= 96
    crop = found.items[0].item.load()["thermal"]
    assert crop.size == (20, 40)
    assert np.abs(np.asarray(crop.convert("L")).astype(int) - GRADIENT[20:60, 10:30]).max() <= 3


def test_backgrounds_depend_only_on_the_seed_and_the_image(small):
    boxes = [item.item.sources[2:] for item in llvip_crops(small).items]
    write_infrared(small / "infrared" / "test" / "180001.jpg", GRADIENT)
    write_voc(small / "Annotations" / "180001.xml", PEOPLE, (128, 96))
    more = [item.item.sources[2:] for item in llvip_crops(small).items]
    assert more[4:] == boxes and more[:4] != boxes
    other = [item.item.sources[2:] for item in llvip_crops(small, seed=1).items]
    assert other[4::2] == boxes[::2] and other[5::2] != boxes[1::2]


def test_the_only_room_for_a_background_is_found_and_no_room_is_logged(small, caplog):
    rng = np.random.default_rng(0)
    person = PixelBox(0, 0, 50, 96)
    assert background_box(person, [person, PixelBox(50, 0, 78, 96)], 128, 96, rng) == PixelBox(78, 0, 128, 96)
    assert background_box(person, [person, PixelBox(50, 0, 79, 96)], 128, 96, rng) is None
    write_voc(small / "Annotations" / "190001.xml", [("person", 0, 0, 100, 96)], (128, 96))
    with caplog.at_level(logging.WARNING):
        assert len(llvip_crops(small).items) == 1
    assert "1 people without a background crop" in caplog.text


def test_a_crop_is_stretched_to_its_own_range_on_request(small):
    transform = ThermalTransform(low=-40, high=120)
    plain, stretched = (
        llvip_crops(small, thermal_normalize=normalize).items[0].item for normalize in ("range", "image")
    )
    assert plain.sources != stretched.sources
    low, high = GRADIENT[0, 10] / 255, GRADIENT[0, 29] / 255
    kept = transform(plain.load()["thermal"])
    assert (kept.min().item(), kept.max().item()) == pytest.approx((low, high), abs=0.02)
    item = stretched.load()
    values = ThermalTransform(low=item["low"], high=item["high"])(item["thermal"])
    assert values.min().item() <= 0.02 and values.max().item() >= 0.98
    with pytest.raises(ValueError, match="thermal_normalize: expected one of range, image"):
        llvip_crops(small, thermal_normalize="max")


def test_missing_and_damaged_annotations_are_counted(small):
    for name in ("190002", "190003", "190004"):
        write_infrared(small / "infrared" / "test" / f"{name}.jpg", GRADIENT)
    (small / "Annotations" / "190003.xml").write_text("<annotation><object>")
    write_voc(small / "Annotations" / "190004.xml", [("person", 30, 20, 30, 60)], (128, 96))
    (small / "infrared" / "test" / "190005.jpg").write_bytes(b"\xff\xd8")
    huge = b"P5 100000 100000 255\n"  # more pixels than Pillow opens
    (small / "infrared" / "test" / "190006.jpg").write_bytes(huge)
    write_infrared(small / "infrared" / "test" / "190007.jpg", GRADIENT)
    (small / "Annotations" / "190007.xml").write_text('<?xml version="1.0" encoding="none"?><annotation/>')
    found = llvip_crops(small)
    assert len(found.items) == 4
    parts = ("no such file", "cannot be read", "expected a box with", "190005", "190006", "unknown encoding")
    for text, part in zip(found.damaged, parts, strict=True):
        assert part in text


def test_boxes_are_clipped_to_the_image(tmp_path):
    write_voc(tmp_path / "1.xml", [("person", -3, 4, 140, 99)], (128, 96))
    assert person_boxes(tmp_path / "1.xml", 128, 96) == [PixelBox(0, 4, 128, 96)]


def test_missing_folders_and_images_are_named(tmp_path):
    with pytest.raises(MediaError, match=r"infrared/test: no such folder"):
        llvip_crops(tmp_path)
    (tmp_path / "infrared" / "test").mkdir(parents=True)
    with pytest.raises(MediaError, match="Annotations: no such folder"):
        llvip_crops(tmp_path)
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(MediaError, match=r"test: expected images \(\*\.jpg\), got none"):
        llvip_crops(tmp_path)


def test_folders_of_crops_are_read_too(tmp_path):
    for label in ("person", "background"):
        write_infrared(tmp_path / "test" / label / "1.jpg", GRADIENT)
    found = llvip_crops(tmp_path)
    assert [found.classes[item.labels[0]].label for item in found.items] == ["background", "person"]
    assert found.items[0].item.load()["thermal"].size == (128, 96)


def test_the_small_model_tells_people_from_background_by_their_shape(world_embedder, tmp_path):
    root = write_llvip_world(tmp_path)
    options = {"templates": "short", "names": {"person": "disc", "background": "bar"}}
    result = evaluate("llvip", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 24 and result.figures["top1"].value >= 75
    names = {"person": "bar", "background": "disc"}
    swapped = evaluate(
        "llvip", world_embedder, root, options={**options, "names": names}, cache=tmp_path / "cache"
    )
    assert swapped.figures["top1"].value == pytest.approx(100 - result.figures["top1"].value)
