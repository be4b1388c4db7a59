"""Random crops: their position and size, and crops that two images share."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagebind.training.data.crops import (
    CROP_RATIO,
    CROP_SCALE,
    CropBox,
    SharedCrop,
    pixels_of,
    random_crop_box,
)
from imagebind.transforms.image import resize_and_crop
from imagebind.transforms.video import spatial_crops
from tests.training.made import ramp


@given(st.integers(0, 2**32), st.floats(0.1, 10))
@settings(max_examples=200, deadline=None)
def test_a_box_is_inside_the_image_with_an_area_and_aspect_ratio_in_range(seed, aspect):
    box = random_crop_box(np.random.default_rng(seed), aspect=aspect)
    assert 0 <= box.top <= box.top + box.height <= 1 + 1e-9
    assert 0 <= box.left <= box.left + box.width <= 1 + 1e-9
    assert CROP_RATIO[0] - 1e-9 <= box.width * aspect / box.height <= CROP_RATIO[1] + 1e-9
    assert box.height * box.width <= CROP_SCALE[1] + 1e-9


def test_boxes_take_all_areas_of_the_scale():
    rng = np.random.default_rng(0)
    boxes = [random_crop_box(rng, aspect=4 / 3) for _ in range(500)]
    areas = [box.height * box.width for box in boxes]
    assert min(areas) >= 0.08 and min(areas) < 0.12 and max(areas) > 0.9
    assert min(box.top for box in boxes) < 0.01 and max(box.top + box.height for box in boxes) > 0.99


def test_if_no_box_fits_the_largest_centred_one_is_used():
    wide = random_crop_box(np.random.default_rng(0), aspect=8, scale=(1, 1))
    # The box is 4/3 heights wide, in an image 8 heights wide.
    assert wide == CropBox(0, pytest.approx(5 / 12), 1, pytest.approx(1 / 6))
    high = random_crop_box(np.random.default_rng(0), aspect=1 / 8, scale=(1, 1))
    assert (high.height, high.width, high.left) == (pytest.approx(1 / 6), 1, 0)


@given(
    st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
    st.integers(1, 50),
    st.integers(1, 50),
)
@settings(deadline=None)
def test_a_box_has_at_least_one_pixel_and_none_outside(corner, size, height, width):
    box = CropBox(*corner, *size)
    top, left, high, wide = pixels_of(box, height=height, width=width)
    assert 0 <= top < top + high <= height and 0 <= left < left + wide <= width


def test_a_shared_crop_shows_the_same_part_of_images_of_different_sizes():
    large, small = Image.fromarray(ramp(480, 640)), Image.fromarray(ramp(120, 160))
    for seed in range(20):
        cut = SharedCrop(np.random.default_rng(seed), scale=CROP_SCALE, flip=0.5)
        one, other = (np.asarray(cut.crop_image(image, 32), float) for image in (large, small))
        assert np.abs(one - other).max() < 4  # a rounded edge: half a pixel of 120 is a level of 255
        two_cuts = SharedCrop(np.random.default_rng(seed + 100), scale=CROP_SCALE)
        assert np.abs(one - np.asarray(two_cuts.crop_image(small, 32), float)).max() > 4


def test_a_shared_crop_flips_all_images_or_none():
    image = Image.fromarray(ramp(40, 40))
    flips = 0
    for seed in range(200):
        cut = SharedCrop(np.random.default_rng(seed), scale=None, flip=0.3)
        squares = [np.asarray(cut.crop_image(image, 20), int) for _ in range(2)]
        mirrored = [bool(square[0, 0, 0] > square[0, -1, 0]) for square in squares]
        assert mirrored[0] == mirrored[1] == cut.flipped
        flips += mirrored[0]
    assert 40 <= flips <= 80  # 60 are expected, with a standard deviation of 6.5


def test_without_randomness_a_shared_crop_is_that_of_inference():
    image, frame = Image.fromarray(ramp(48, 64)), torch.rand(3, 48, 64)
    cut = SharedCrop(np.random.default_rng(0), scale=None)
    assert np.array_equal(cut.crop_image(image, 32), resize_and_crop(image, 32))
    assert torch.equal(cut.crop_frame(frame, size=32, crops=1), spatial_crops(frame, size=32, crops=1))


def test_frames_of_a_clip_have_the_same_single_crop():
    frame = torch.from_numpy(ramp(48, 64)).permute(2, 0, 1) / 255
    cut = SharedCrop(np.random.default_rng(0), scale=CROP_SCALE)
    first = cut.crop_frame(frame, size=32, crops=1)
    assert first.shape == (1, 3, 32, 32)
    assert torch.equal(cut.crop_frame(frame, size=32, crops=1), first)
    with pytest.raises(ValueError, match="expected 1 per frame for a random crop, got 3"):
        cut.crop_frame(frame, size=32, crops=3)
