"""Boxes, labels, masks and maps that are drawn on an image."""

import numpy as np
import torch
from PIL import Image

from imagebind.applications.boxes import Detection
from imagebind.applications.overlay import COLOURS, draw


def detection(**fields) -> Detection:
    return Detection(**{"query": "dog", "score": 0.7, "cosine": 0.3, "box": (100, 120, 300, 320)} | fields)


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=-1).sum())


def test_each_query_has_its_own_colour_and_the_image_is_not_changed():
    image = Image.new("RGB", (640, 480), "grey")
    found = [detection(), detection(query="car", box=(400, 50, 500, 150))]
    drawn = draw(image, found, queries=["dog", "car"])
    assert count(drawn, COLOURS[0]) > 1000 and count(drawn, COLOURS[1]) > 500
    assert count(drawn, COLOURS[2]) == 0 and count(image, (128, 128, 128)) == 640 * 480


def test_labels_stay_inside_the_image_and_do_not_overlap():
    image = Image.new("RGB", (640, 480), "grey")
    corner = [detection(box=(600, 0, 640, 30)), detection(box=(600, 2, 640, 30), query="a cat")]
    drawn = draw(image, corner, queries=["dog", "a cat"])
    for colour in COLOURS[:2]:
        assert count(drawn, colour) > 800  # both labels are whole; an outline alone has less than 400


def test_small_images_are_enlarged_so_that_labels_can_be_read():
    assert draw(Image.new("RGB", (60, 80)), [], queries=["dog"]).size == (480, 640)


def test_a_map_tints_only_its_high_values_and_a_constant_map_tints_nothing():
    image = Image.new("RGB", (640, 480), "grey")
    maps = torch.zeros(1, 480, 640)
    maps[0, 100:200, 100:200] = 1
    pixels = np.asarray(draw(image, [], queries=["dog"], maps=maps)).astype(int)
    assert np.ptp(pixels[150, 150]) > 50 and np.ptp(pixels[400, 500]) == 0
    assert (pixels[75:100, 100:140] == COLOURS[0]).all(axis=-1).sum() > 200  # its label
    constant = np.asarray(draw(image, [], queries=["dog"], maps=torch.ones(1, 480, 640)))
    assert (constant == constant[0, 0]).all()


def test_a_mask_tints_its_pixels():
    mask = np.zeros((480, 640), dtype=bool)
    mask[200:250, 150:250] = True
    pixels = np.asarray(draw(Image.new("RGB", (640, 480)), [detection(mask=mask)], queries=["dog"]))
    assert pixels[225, 200].any() and not pixels[300, 200].any()
