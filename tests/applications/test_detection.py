"""Boxes of queries of several modalities, in toy-world scenes of three objects."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.applications.boxes import as_image, checked_boxes, square_crops
from imagebind.applications.detection import detect
from imagebind.errors import MediaError
from imagebind.toyworld.group import GroupWorld, boxes_of, group_masks, render_group_image

ALL = {"threshold": 0, "image_quantile": None}  # keeps every box, scored against the backgrounds only


@pytest.fixture(scope="module")
def group():
    return GroupWorld(seed=3).group(1)  # a cyan triangle, a green square, a red crescent


@pytest.fixture(scope="module")
def image(group) -> Image.Image:
    return Image.fromarray(render_group_image(group))


@pytest.fixture(scope="module")
def true_boxes(group) -> torch.Tensor:
    return torch.from_numpy(boxes_of(group_masks(group)))


def test_each_text_finds_its_object_among_given_boxes(tiny, image, true_boxes):
    texts = ["a cyan triangle", "a green square", "a red crescent"]
    found = detect(tiny, image, texts, proposals=true_boxes, **ALL)
    best = {text: next(each for each in found if each.query == text) for text in texts}
    assert [list(best[text].box) for text in texts] == true_boxes.tolist()
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.5


@pytest.mark.huge  # many crops
def test_without_given_boxes_a_text_finds_its_object(tiny, image, true_boxes):
    found = detect(tiny, image, {"square": "a green square"})
    left, top, right, bottom = found[0].box
    edges = true_boxes[1].tolist()
    assert found[0].query == "square" and edges[0] < (left + right) / 2 < edges[2]
    assert edges[1] < (top + bottom) / 2 < edges[3]


def test_an_object_that_is_not_in_the_image_is_not_found(tiny, image, true_boxes):
    assert detect(tiny, image, "a yellow star", proposals=true_boxes) == []


def test_silence_and_no_queries_are_refused(tiny, image):
    silence = {"audio": np.zeros((1, 32_000), dtype=np.float32), "rate": 16_000}
    with pytest.raises(MediaError, match="silence"):
        detect(tiny, image, [silence])
    with pytest.raises(ValueError, match="queries: expected one or more, got none"):
        detect(tiny, image, [])


def test_no_proposals_give_no_detections(tiny, image):
    assert detect(tiny, image, "a star", proposals=lambda image: np.zeros((0, 4))) == []


def test_boxes_outside_the_image_are_refused_and_those_across_its_border_are_cut(tiny, image):
    with pytest.raises(
        MediaError,
        match=r"proposals: expected a box that overlaps the image of 448 x 448 pixels, got 1 outside it",
    ):
        detect(tiny, image, "a star", proposals=[[500, 500, 600, 600]])
    boxes = checked_boxes([[-10, 20, 600, 60], [448, 0, 460, 9]], (448, 448), name="boxes")
    assert boxes.tolist() == [[0, 20, 448, 60]]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], "left, top, right"),
        ([[9, 0, 1, 5]], r"left <= right and top <= bottom, got \[9.* as box 0"),
        ([[0, 0, np.nan, 5]], "not finite"),
    ],
)
def test_proposals_that_are_no_boxes_are_refused(boxes, message):
    with pytest.raises(MediaError, match=message):
        checked_boxes(boxes, (64, 48), name="proposals")


def test_a_16_bit_or_float_pil_image_has_the_pixels_of_its_file(tmp_path):
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(values).save(tmp_path / "deep.png")
    expected = np.asarray(as_image(tmp_path / "deep.png")[0])
    deep = Image.fromarray(values)
    for image in (deep, deep.convert("I"), Image.fromarray(values.astype(np.float32) / 65535)):
        assert (np.asarray(as_image(image)[0]) == expected).all()


@pytest.mark.parametrize("option", [{"threshold": 2}, {"contexts": ()}, {"max_detections": 0}])
def test_options_out_of_their_range_are_refused(tiny, image, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        detect(tiny, image, "a star", **option)


def test_backgrounds_of_an_unknown_media_type_are_refused(tiny, image, true_boxes):
    with pytest.raises(ValueError, match=r"backgrounds: expected media types among .*, got smell"):
        detect(tiny, image, "a star", backgrounds={"smell": ["grass"]}, proposals=true_boxes)


def test_one_item_with_its_media_type_is_a_query_and_not_a_name(tiny, image, true_boxes, world):
    path = world / "000000" / "audio.wav"
    for queries, names in (
        ({"audio": str(path)}, {"audio.wav"}),
        ({"audio": "a", "text": "b"}, {"audio", "text"}),
    ):
        found = detect(tiny, image, queries, proposals=true_boxes, **ALL)
        assert {each.query for each in found} == names


def test_overlapping_boxes_of_one_query_are_one_detection_and_others_stay(tiny, image, true_boxes):
    moved = torch.cat([true_boxes, true_boxes + 3])
    found = detect(tiny, image, ["a green square", "a red thing"], proposals=moved, **ALL)
    assert len(found) == 6 and len({(each.query, round(each.box[0] / 10)) for each in found}) == 6
    assert len(detect(tiny, image, "a star", proposals=moved, max_detections=2, **ALL)) == 2


def test_a_segmenter_adds_masks_and_areas(tiny, image, group, true_boxes):
    masks = group_masks(group)

    def segment(image, boxes):
        return np.stack([masks[np.abs(true_boxes.numpy() - box).sum(axis=1).argmin()] for box in boxes])

    found = detect(tiny, image, "a square", proposals=true_boxes, segment=segment, **ALL)
    assert sorted(each.area for each in found) == sorted(masks.sum(axis=(1, 2)).tolist())
    with pytest.raises(ValueError, match=r"segment: expected masks \(3, 448, 448\), got \(1, 2, 2\)"):
        detect(tiny, image, "a", proposals=true_boxes, segment=lambda *_: np.zeros((1, 2, 2)), **ALL)


def test_the_score_of_a_box_does_not_depend_on_other_proposals(tiny, image, true_boxes):
    together = detect(tiny, image, "a square", proposals=true_boxes, **ALL)
    alone = detect(tiny, image, "a square", proposals=true_boxes[1:2], **ALL)
    (same,) = (each for each in together if each.box == alone[0].box)
    assert same.score == pytest.approx(alone[0].score, abs=1e-4)


def test_crops_are_square_keep_their_box_and_fill_with_the_mean_colour():
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[10:20, 30:40] = 200
    image = Image.fromarray(pixels)
    inner, whole = square_crops(image, torch.tensor([[30.0, 10, 40, 20], [0, 0, 80, 40]]), context=0.5)
    assert inner.size == (20, 20) and (np.asarray(inner)[5:15, 5:15] == 200).all()
    assert whole.size == (160, 160)
    mean = round(float(pixels.mean()))
    assert abs(int(np.asarray(whole)[0, 0, 0]) - mean) <= 1
    corner = square_crops(image, torch.tensor([[70.0, 30, 80, 40]]), context=0.5)[0]
    assert (np.asarray(corner) == 0).all() and corner.size == (20, 20)  # moved into the image, not filled
