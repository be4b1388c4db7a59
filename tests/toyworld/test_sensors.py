"""Depth and thermal: numbers as sensors store them, and the tensors that the transforms return for them."""

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


def medians(scene, image: np.ndarray | torch.Tensor) -> tuple[float, float]:
    """Return the median well inside the object, and well outside."""
    distance = sight(scene, still_pose(scene)).distance
    values = np.asarray(image, dtype=np.float64).reshape(distance.shape)
    return float(np.median(values[distance < -8])), float(np.median(values[distance > 25]))


def test_depth_is_millimetres_in_16_bits_with_holes():
    for scene in SCENES:
        depth = render_depth(scene)
        assert depth.shape == (224, 224) and depth.dtype == np.uint16
        assert 0.005 < (depth == 0).mean() < 0.12
        assert depth[depth > 0].min() > 600 and depth.max() < 7500


def test_the_depth_of_the_object_is_the_distance_of_the_scene():
    for scene in SCENES:
        inside, outside = medians(scene, render_depth(scene))
        assert inside / 1000 == pytest.approx(scene.distance, abs=0.13)
        assert outside > 1.2 * inside


def test_the_object_is_clearly_nearer_after_the_depth_transform():
    for scene in SCENES:
        tensor = DEPTH(render_depth(scene))
        assert tensor.shape == (1, 224, 224) and tensor.isfinite().all()
        inside, outside = medians(scene, tensor)
        assert inside > outside + 0.4  # standard deviations; the minimum of 150 scenes was 0.48


def test_thermal_is_hundredths_of_a_kelvin_in_16_bits():
    for scene in SCENES:
        counts = render_thermal(scene)
        assert counts.shape == (224, 224) and counts.dtype == np.uint16
        inside, _ = medians(scene, counts)
        assert inside / 100 - 273.15 == pytest.approx(scene.temperature, abs=3)


def test_hot_and_cold_objects_differ_from_the_ground_after_the_transform():
    for scene in SCENES:
        for celsius, sign in ((55.0, 1), (-6.0, -1)):
            tensor = THERMAL(render_thermal(replace(scene, temperature=celsius, shape=Shape.SQUARE)))
            inside, outside = medians(replace(scene, shape=Shape.SQUARE), tensor)
            assert tensor.min() >= 0 and tensor.max() <= 1
            assert sign * (inside - outside) > 0.12


def test_less_than_3_percent_of_the_counts_are_outside_the_range_of_the_transform():
    for scene in SCENES:
        counts = render_thermal(scene)
        assert ((counts < THERMAL_LOW) | (counts > THERMAL_HIGH)).mean() < 0.03


def test_depth_and_thermal_show_the_same_outline():
    scene = replace(SCENE, shape=Shape.CROSS)
    depth = render_depth(scene)
    near = (depth > 0) & (depth < 1300)
    warm = render_thermal(scene) / 100 - 273.15 > 45
    assert (near & warm).sum() / (near | warm).sum() > 0.8
