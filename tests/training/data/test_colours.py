"""RandAugment, colour jitter and random erasing depend only on their generator."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.training.data.colours import (
    OPERATION_TABLE,
    colour_jitter,
    rand_augment,
    random_erasing,
)
from tests.training.made import ramp

GRAIN = np.random.default_rng(0).integers(-6, 7, (48, 64, 3))  # a smooth picture has nothing to sharpen
PICTURE = Image.fromarray((ramp(48, 64).astype(int) + GRAIN).clip(0, 255).astype(np.uint8))
FAINT = PICTURE.point([level // 2 + 30 for level in range(256)] * 3)  # with room for more contrast
FLAT = Image.new("RGB", (48, 48), (200, 100, 40))


@pytest.mark.parametrize("name", OPERATION_TABLE)
def test_each_operation_keeps_size_and_mode_and_does_not_change_its_input(name):
    before = np.array(FAINT)
    changed = OPERATION_TABLE[name](FAINT, 0.9, 1.0)
    assert changed.size == FAINT.size and changed.mode == "RGB"
    assert not np.array_equal(changed, before)
    np.testing.assert_array_equal(np.array(FAINT), before)


@pytest.mark.parametrize("name", sorted(set(OPERATION_TABLE) - {"auto_contrast", "equalize", "invert"}))
def test_strength_makes_an_operation_stronger(name):
    def change(strength: float) -> float:
        moved = np.asarray(OPERATION_TABLE[name](PICTURE, strength, 1.0), float)
        return np.abs(moved - np.asarray(PICTURE, float)).mean()

    assert change(0.2) < change(1.0)


@pytest.mark.parametrize("name, strength", [("posterize", 1.0), ("solarize", 0.0), ("rotate", 0.0)])
def test_operations_work_at_the_ends_of_their_range(name, strength):
    assert OPERATION_TABLE[name](PICTURE, strength, -1.0).size == PICTURE.size


def test_operations_do_what_their_names_say():
    assert OPERATION_TABLE["invert"](FLAT, 0.5, 1.0).getpixel((0, 0)) == (55, 155, 215)
    assert OPERATION_TABLE["solarize_add"](FLAT, 0.5, 1.0).getpixel((0, 0)) == (200, 155, 95)
    assert OPERATION_TABLE["solarize"](FLAT, 0.5, 1.0).getpixel((0, 0)) == (55, 100, 40)
    assert OPERATION_TABLE["posterize"](FLAT, 0.5, 1.0).getpixel((0, 0)) == (192, 64, 0)  # 2 bits
    assert OPERATION_TABLE["brightness"](FLAT, 1.0, -1.0).getpixel((0, 0)) == (20, 10, 4)
    shifted = OPERATION_TABLE["shift_x"](Image.fromarray(ramp(48, 64)), 0.5, 1.0)  # 0.225 · 64 = 14.4 pixels
    np.testing.assert_allclose(np.asarray(shifted, int)[:, 10, 0], 24.4 * 255 / 63, atol=1)


@pytest.mark.parametrize("change", [rand_augment, colour_jitter])
def test_the_same_generator_gives_the_same_image_for_any_global_rng_state(change):
    results = []
    for others in (1, 2):
        random.seed(others)
        np.random.seed(others)
        torch.manual_seed(others)
        states = random.getstate(), torch.get_rng_state()
        results.append(np.asarray(change(PICTURE, np.random.default_rng(5))))
        assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    np.testing.assert_array_equal(*results)
    assert not np.array_equal(results[0], np.asarray(change(PICTURE, np.random.default_rng(6))))


def test_rand_augment_leaves_a_quarter_of_images_unchanged():
    rng = np.random.default_rng(0)
    same = sum(np.array_equal(rand_augment(FAINT, rng), FAINT) for _ in range(400))
    assert 70 <= same <= 135  # 100, and what undoes itself


def test_jitter_of_brightness_stays_in_range():
    grey = Image.new("RGB", (4, 4), (100, 100, 100))  # contrast and saturation leave it
    rng = np.random.default_rng(0)
    levels = [colour_jitter(grey, rng, amount=0.4).getpixel((0, 0))[0] for _ in range(300)]
    assert 59 <= min(levels) < 65 and 135 < max(levels) <= 141


def test_erasing_sets_one_box_to_zero_a_quarter_of_the_time():
    picture = torch.ones(3, 40, 60)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        erased = random_erasing(picture, rng)
        holes = erased[0] == 0
        rows, columns = holes.any(1), holes.any(0)
        assert torch.equal(holes, rows[:, None] & columns[None]), "one box, in every channel"
        assert torch.equal(erased[0], erased[2])
        shares.append(holes.double().mean().item())
    hits = [share for share in shares if share]
    assert 70 <= len(hits) <= 130
    assert 0.015 < min(hits) < 0.05 and 0.25 < max(hits) < 0.36
    assert picture.min() == 1, "the input is left as it was"
