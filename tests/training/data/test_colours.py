"""RandAugment, colour jitter and random erasing depend only on their generator."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.training.data.colours import colour_jitter, rand_augment, random_erasing
from tests.training.made import ramp

GRAIN = np.random.default_rng(0).integers(-6, 7, (48, 64, 3))  # otherwise sharpening has no effect
IMAGE = Image.fromarray((ramp(48, 64).astype(int) + GRAIN).clip(0, 255).astype(np.uint8))
FAINT = IMAGE.point([level // 2 + 30 for level in range(256)] * 3)  # its contrast can be increased


def test_rand_augment_keeps_size_and_mode_and_does_not_change_its_input():
    before = np.array(FAINT)
    rng = np.random.default_rng(0)
    for magnitude in (0.0, 5.5, 10.0):
        for _ in range(40):
            changed = rand_augment(FAINT, rng, magnitude=magnitude)
            assert changed.size == FAINT.size and changed.mode == "RGB"
    np.testing.assert_array_equal(np.array(FAINT), before)


def test_a_magnitude_is_the_strength_of_rand_augment():
    def change(magnitude: float) -> float:
        rng = np.random.default_rng(0)  # the same operations
        changed = [rand_augment(IMAGE, rng, magnitude=magnitude, std=0.0) for _ in range(60)]
        return np.mean([np.abs(np.asarray(each, float) - np.asarray(IMAGE, float)) for each in changed])

    assert change(1.5) < change(5.5) < change(9.5)


def test_rand_augment_fills_pixels_outside_the_image_with_the_mean_colour():
    white, rng = Image.new("RGB", (48, 48), "white"), np.random.default_rng(0)
    corners = {rand_augment(white, rng).getpixel((0, 0)) for _ in range(100)}
    assert (123, 117, 104) in corners  # IMAGE_MEAN of 255


@pytest.mark.parametrize("change", [rand_augment, colour_jitter])
def test_the_same_generator_gives_the_same_image_for_any_global_rng_state(change):
    results = []
    for others in (1, 2):
        random.seed(others)
        np.random.seed(others)
        torch.manual_seed(others)
        states = random.getstate(), torch.get_rng_state()
        results.append(np.asarray(change(IMAGE, np.random.default_rng(5))))
        assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    np.testing.assert_array_equal(*results)
    assert not np.array_equal(results[0], np.asarray(change(IMAGE, np.random.default_rng(6))))


def test_rand_augment_leaves_a_quarter_of_images_unchanged():
    rng = np.random.default_rng(0)
    same = sum(np.array_equal(rand_augment(FAINT, rng), FAINT) for _ in range(400))
    assert 70 <= same <= 135  # 100, and those whose operations have no effect


def test_jitter_of_brightness_stays_in_range():
    grey = Image.new("RGB", (4, 4), (100, 100, 100))  # contrast and saturation do not change it
    rng = np.random.default_rng(0)
    levels = [colour_jitter(grey, rng, amount=0.4).getpixel((0, 0))[0] for _ in range(300)]
    assert 59 <= min(levels) < 65 and 135 < max(levels) <= 141


def test_erasing_sets_one_box_to_zero_with_a_probability_of_a_quarter():
    image = torch.ones(3, 40, 60)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        erased = random_erasing(image, rng)
        holes = erased[0] == 0
        rows, columns = holes.any(1), holes.any(0)
        assert torch.equal(holes, rows[:, None] & columns[None]), "one box, in every channel"
        assert torch.equal(erased[0], erased[2])
        shares.append(holes.double().mean().item())
    hits = [share for share in shares if share]
    assert 70 <= len(hits) <= 130
    assert 0.015 < min(hits) < 0.05 and 0.25 < max(hits) < 0.36
    assert image.min() == 1, "the input is unchanged"
