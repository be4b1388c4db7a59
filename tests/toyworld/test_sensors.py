"""Depth and thermal: numbers as such sensors store them, and the library's own transforms of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from imagebind.toyworld import (
    BASELINE,
    FOCAL,
    THERMAL_HIGH,
    THERMAL_LOW,
    Shape,
    World,
    render_depth,
    render_thermal,
)
from imagebind.toyworld.motion import still_pose
from imagebind.toyworld.view import sight
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.thermal import ThermalTransform
from tests.toyworld.scenes import SCENE

DEPTH = DepthTransform(focal=FOCAL, baseline=BASELINE)
THERMAL = ThermalTransform(low=THERMAL_LOW, high=THERMAL_HIGH)
SCENES = [World(seed=0).scene(number) for number in range(20)]


def inside_and_out(scene, picture: np.ndarray | torch.Tensor) -> tuple[float, float]:
    """The middle value well on the thing, and well off it."""
    distance = sight(scene, still_pose(scene)).distance
    values = np.asarray(picture, dtype=np.float64).reshape(distance.shape)
    return float(np.median(values[distance < -8])), float(np.median(values[distance > 25]))


def test_depth_is_millimetres_in_16_bits_with_holes():
    for scene in SCENES:
        depth = render_depth(scene)
        assert depth.shape == (224, 224) and depth.dtype == np.uint16
        assert 0.005 < (depth == 0).mean() < 0.12
        assert depth[depth > 0].min() > 600 and depth.max() < 7500


def test_a_thing_is_as_far_as_its_scene_says():
    for scene in SCENES:
        on_it, behind = inside_and_out(scene, render_depth(scene))
        assert on_it / 1000 == pytest.approx(scene.distance, abs=0.13)
        assert behind > 1.2 * on_it


def test_the_depth_transform_sees_the_thing_stand_out():
    for scene in SCENES:
        tensor = DEPTH(render_depth(scene))
        assert tensor.shape == (1, 224, 224) and tensor.isfinite().all()
        on_it, behind = inside_and_out(scene, tensor)
        assert on_it > behind + 0.4  # standard deviations; 0.48 was the least of 150 scenes


def test_thermal_is_hundredths_of_a_kelvin_in_16_bits():
    for scene in SCENES:
        counts = render_thermal(scene)
        assert counts.shape == (224, 224) and counts.dtype == np.uint16
        on_it, _ = inside_and_out(scene, counts)
        assert on_it / 100 - 273.15 == pytest.approx(scene.temperature, abs=3)


def test_hot_and_cold_both_stand_out_of_the_ground_after_the_transform():
    for scene in SCENES:
        for celsius, sign in ((55.0, 1), (-6.0, -1)):
            tensor = THERMAL(render_thermal(replace(scene, temperature=celsius, shape=Shape.SQUARE)))
            on_it, around = inside_and_out(replace(scene, shape=Shape.SQUARE), tensor)
            assert tensor.min() >= 0 and tensor.max() <= 1
            assert sign * (on_it - around) > 0.12


def test_next_to_nothing_is_beyond_the_counts_that_the_transform_is_given():
    for scene in SCENES:
        counts = render_thermal(scene)
        assert ((counts < THERMAL_LOW) | (counts > THERMAL_HIGH)).mean() < 0.03


def test_depth_and_thermal_show_the_same_silhouette():
    scene = replace(SCENE, shape=Shape.CROSS)
    depth = render_depth(scene)
    near = (depth > 0) & (depth < 1300)
    warm = render_thermal(scene) / 100 - 273.15 > 45
    assert (near & warm).sum() / (near | warm).sum() > 0.8
