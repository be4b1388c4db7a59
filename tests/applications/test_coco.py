"""Boxes are read from COCO and csv files, and detections written as COCO."""

import json

import numpy as np
import pytest

from imagebind.applications.boxes import Detection, ImageDetections
from imagebind.applications.coco import read_boxes, run_lengths, to_coco
from imagebind.errors import MediaError, MissingMediaError


def detection(**fields) -> Detection:
    return Detection(**{"query": "dog", "score": 0.75, "cosine": 0.3, "box": (1.0, 2.0, 11.0, 22.0)} | fields)


def test_detections_become_images_categories_and_annotations():
    mask = np.zeros((40, 60), dtype=bool)
    mask[2:4, 1:4] = True
    image = ImageDetections(
        name="a.png",
        width=60,
        height=40,
        queries=["dog", "car"],
        detections=[detection(), detection(query="car", mask=mask, track=3)],
    )
    content = json.loads(json.dumps(to_coco([image])))
    assert content["images"] == [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}]
    assert {each["name"] for each in content["categories"]} == {"dog", "car"}
    first, second = content["annotations"]
    assert first["bbox"] == [1, 2, 10, 20] and first["area"] == 200 and first["score"] == 0.75
    assert second["area"] == 6 and second["track_id"] == 3 and second["segmentation"]["size"] == [40, 60]


def test_queries_without_detections_stay_among_the_categories():
    image = ImageDetections(name="a.png", width=6, height=4, queries=["dog"], detections=[], seconds=1.5)
    content = to_coco([image])
    assert content["categories"] == [{"id": 1, "name": "dog"}] and content["annotations"] == []
    assert content["images"][0]["seconds"] == 1.5


@pytest.mark.parametrize("start", [False, True])
def test_run_lengths_decode_to_the_mask(start):
    mask = np.random.default_rng(0).random((7, 5)) > 0.5
    mask[0, 0] = start
    counts = run_lengths(mask)["counts"]
    flat = np.concatenate([np.full(count, number % 2) for number, count in enumerate(counts)])
    assert (flat.reshape(mask.shape, order="F") == mask).all()


def test_written_detections_can_be_read_as_proposals(tmp_path):
    image = ImageDetections(name="a.png", width=60, height=40, queries=[], detections=[detection()])
    (tmp_path / "boxes.json").write_text(json.dumps(to_coco([image])))
    assert read_boxes(tmp_path / "boxes.json", "folder/a.png").tolist() == [[1, 2, 11, 22]]
    with pytest.raises(MediaError, match=r"boxes\.json: .*, got no image named b\.png among 1"):
        read_boxes(tmp_path / "boxes.json", "b.png")


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("left,top,right,bottom\n1,2,3,4\n", [[1, 2, 3, 4]]),
        ("x1,y1,x2,y2,score\n1,2,3,4,0.5\n5,6,7,8,0.1\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("image,x,y,width,height\na.png,1,2,3,4\nb.png,5,6,7,8\n", [[1, 2, 4, 6]]),
        ("x,y,w,h\n", []),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]', [[1, 2, 4, 6]]),
    ],
)
def test_boxes_of_csv_files_and_of_results_are_read(tmp_path, text, boxes):
    (tmp_path / "boxes.txt").write_text(text)
    assert read_boxes(tmp_path / "boxes.txt", "a.png").tolist() == boxes


@pytest.mark.parametrize(
    "text",
    ["{}", "a,b\n1,2\n", "left,top,right,bottom\n1,2,3,x\n", '[{"image_id": 1}]', "[1]", "\x00\x01", "[{"],
)
def test_other_files_are_refused_with_the_forms_that_can_be_read(tmp_path, text):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(MediaError, match=r"boxes\.csv: expected COCO's JSON.*, got "):
        read_boxes(tmp_path / "boxes.csv", "a.png")


def test_a_missing_an_empty_and_a_binary_file_are_named(tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "binary.csv").write_bytes(b"\x80\x81")
    with pytest.raises(MissingMediaError, match=r"missing\.csv") as missing:
        read_boxes(tmp_path / "missing.csv", "a.png")
    assert "Errno" not in str(missing.value)
    for name, message in (("empty.csv", "an empty file"), ("binary.csv", "bytes that are not text")):
        with pytest.raises(MediaError, match=message):
            read_boxes(tmp_path / name, "a.png")


def test_images_of_equal_name_are_distinguished_by_their_paths(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x1,y1,x2,y2\na/x.png,1,2,3,4\nb/x.png,5,6,7,8\n")
    assert read_boxes(path, "/photos/b/x.png").tolist() == [[5, 6, 7, 8]]
    with pytest.raises(MediaError, match=r"several images named x\.png: a/x\.png, b/x\.png"):
        read_boxes(path, "x.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x1,y1,x2,y2\n1,2,3\n", "3 values in row 2, for 4 columns"),
        ("x1,y1,x2,y2\n1,2,3,abc\n", "'abc' in the column y2"),
        ('{"a": 1}', "JSON without images and annotations"),
        ('[{"image_id": 1}]', "an entry without bbox"),
        ("[{", "damaged JSON"),
        ("[" * 100_000, "damaged JSON"),
    ],
)
def test_an_error_names_the_wrong_row_or_key(tmp_path, text, message):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(MediaError, match=message):
        read_boxes(path, "x.png")
