"""Tests of Places365 in its published layout."""

import numpy as np
import pytest

from imagebind.datasets.layouts.places365 import places365
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_images import CATEGORIES, write_jpeg, write_places, write_places_world

GRAY = np.full((8, 8, 3), 99, dtype=np.uint8)


@pytest.fixture
def small(tmp_path):
    root = tmp_path / "places"
    images = {f"Places365_val_{number:08}.jpg": (label, GRAY) for number, label in ((1, 2), (2, 0), (3, 2))}
    write_places(root, list(CATEGORIES.values()), images)
    return root


def labels(found) -> list[str]:
    return [found.classes[item.labels[0]].label for item in found.items]


def test_images_have_the_class_of_the_table_and_missing_ones_are_listed(small):
    (small / "val_256" / "Places365_val_00000003.jpg").unlink()
    found = places365(small)
    assert labels(found) == ["balcony/exterior", "airfield"]
    assert [name.split("/")[-1] for name in found.missing] == ["Places365_val_00000003.jpg"]
    (small / "val_256").rename(small / "val_large")
    assert labels(places365(small)) == labels(found)


def test_class_names_put_the_qualifier_first_or_last(small):
    names = [each.names[0] for each in places365(small).classes]
    assert names[:5] == [
        "airfield",
        "outdoor apartment building",
        "exterior balcony",
        "interior balcony",
        "clean room",
    ]
    after = [each.names[0] for each in places365(small, qualifier="after").classes]
    assert after[1:3] == ["apartment building outdoor", "balcony exterior"]
    with pytest.raises(ValueError, match="qualifier: expected one of before, after"):
        places365(small, qualifier="none")


def test_folders_of_classes_are_read_with_and_without_the_list_of_classes(tmp_path):
    for name in ("clean_room", "balcony-exterior"):
        write_jpeg(tmp_path / "val" / name / "1.jpg", GRAY)
    found = places365(tmp_path)
    assert [each.names[0] for each in found.classes] == ["exterior balcony", "clean room"]
    write_places(tmp_path, list(CATEGORIES.values()), {})
    found = places365(tmp_path)
    assert labels(found) == ["balcony/exterior", "clean_room"] and len(found.classes) == 8


def test_missing_or_invalid_files_are_named(small, tmp_path):
    with pytest.raises(MediaError, match=r"expected the folder val_256 or val_large .*, got none"):
        places365(tmp_path)
    (small / "places365_val.txt").write_text("\nPlaces365_val_00000001.jpg 365\n")
    with pytest.raises(MediaError, match=r"places365_val\.txt, line 2: .*a class from 0 to 7"):
        places365(small)
    (small / "categories_places365.txt").write_text("/a/airfield 0\n\n/b/balcony 2\n")
    with pytest.raises(MediaError, match=r"categories_places365\.txt, line 3"):
        places365(small)
    (small / "categories_places365.txt").unlink()
    with pytest.raises(MediaError, match=r"categories_places365\.txt: no such file"):
        places365(small)


def test_the_small_model_recognises_shapes_by_their_image(world_embedder, tmp_path):
    root = write_places_world(tmp_path)
    names = {name.split("/", 2)[2]: shape for shape, name in CATEGORIES.items()}
    options = {"templates": "short", "names": names}
    result = evaluate("places365", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 16 and result.figures["top1"].value >= 80
    moved = dict(zip(names, [*list(names.values())[1:], "disc"], strict=True))
    shuffled = evaluate(
        "places365", world_embedder, root, options={**options, "names": moved}, cache=tmp_path / "cache"
    )
    assert shuffled.figures["top1"].value < 40
