"""Tests of Flickr30k and COCO in Karpathy's splits."""

import csv
import json

import pytest

from imagebind.datasets.layouts.karpathy import coco, flickr30k
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_captions import write_karpathy

READERS = {"flickr30k": flickr30k, "coco": coco}


@pytest.fixture(params=READERS)
def named(request, tmp_path):
    return request.param, write_karpathy(tmp_path / request.param, request.param)


def test_the_first_five_captions_of_each_image_of_the_split_are_queries(named):
    name, root = named
    found = READERS[name](root)
    assert len(found.candidates) == 15 and len(found.queries) == 75 and not found.missing
    assert "the sixth" not in [query.item for query in found.queries] and found.relevant[4:6] == [(0,), (1,)]
    assert len(READERS[name](root, split="train").candidates) == 1
    assert len(READERS[name](root, captions=6).queries) == 76


def test_both_forms_of_csv_are_read_and_an_invalid_row_is_named(tmp_path):
    root = write_karpathy(tmp_path, "flickr30k", 4)
    table = root / "dataset_flickr30k.json"
    listed = flickr30k(root)
    images = json.loads(table.read_text())["images"]
    table.unlink()
    with (root / "flickr_annotations_30k.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["raw", "sentids", "split", "filename", "img_id"])
        for number, image in enumerate(images):
            raw = json.dumps([sentence["raw"] for sentence in image["sentences"]])
            writer.writerow([raw, "[]", image["split"], image["filename"], number])
    assert flickr30k(root) == listed
    table = root / "flickr_annotations_30k.csv"
    for raw, message in (('"a caption"', "is no list of captions"), ("a caption", "Expecting value")):
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["raw", "split", "filename"], [], [raw, "test", "a.jpg"]])
        with pytest.raises(MediaError, match=rf"30k\.csv, line 3: expected a row of .*{message}"):
            flickr30k(root)
    table.unlink()
    with (root / "flickr30k_test_karpathy.txt").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for image in images[:3]:
            for sentence in image["sentences"]:
                writer.writerow([image["filename"], sentence["raw"]])
    assert flickr30k(root) == listed


def test_a_missing_image_is_listed_and_a_wrong_option_or_table_is_named(named, tmp_path):
    name, root = named
    read = READERS[name]
    next(root.rglob("*0.jpg" if name == "coco" else "*795.jpg")).unlink()
    found = read(root)
    assert len(found.missing) == 1 and len(found.queries) == 70 and len(found.candidates) == 14
    with pytest.raises(ValueError, match="split: expected one of test, val, train, got 'restval'"):
        read(root, split="restval")
    for captions in (0, -1):
        with pytest.raises(ValueError, match=f"captions: expected at least 1, got {captions}"):
            read(root, captions=captions)
    table = root / f"dataset_{name}.json"
    table.write_text('{"images": [{"filename": "a.jpg"}]}')
    with pytest.raises(MediaError, match=r"filename, split and sentences, got .*KeyError: 'sentences'"):
        read(root)
    table.unlink()
    with pytest.raises(MediaError, match=rf"dataset_{name}\.json: no such file; also tried "):
        read(root)


def test_the_small_model_finds_images_by_captions_and_captions_by_images(world_embedder, tmp_path):
    result = evaluate("coco", world_embedder, write_karpathy(tmp_path, "coco"))
    assert result.figures["R@5"].value >= 80 and result.figures["back_R@5"].value >= 90
    assert result.figures["back_R@1"].chance == pytest.approx(100 / 15)
