"""Shapes: outlines of about unit radius as signed distance fields, which views are sampled from."""

from functools import lru_cache

import numpy as np
from PIL import Image

from imagebind.toyworld.scene import Shape

EXTENT = 2.5  # the field spans [-2.5, 2.5] radii
CELLS = 320  # per side: 64 per radius, about the resolution of an image
REACH = 1.25  # radii: no outline is farther from its centre
OUTSIDE = 1.0  # radii: the distance used outside the field, at most that at its border


@lru_cache(maxsize=len(Shape))
def distance_field(shape: Shape) -> Image.Image:
    """Return the signed distance to the outline in radii, negative inside, as a float image of `EXTENT`."""
    axis = (np.arange(CELLS) + 0.5) / CELLS * 2 * EXTENT - EXTENT
    u, v = np.meshgrid(axis, axis)  # right, down
    return Image.fromarray(_distance(shape, u, v).astype(np.float32))


def _distance(shape: Shape, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    if shape is Shape.DISC:
        return np.hypot(u, v) - 0.92
    if shape is Shape.RING:
        return np.abs(np.hypot(u, v) - 0.78) - 0.25
    if shape is Shape.CRESCENT:
        return np.maximum(np.hypot(u, v) - 1.0, 0.78 - np.hypot(u - 0.5, v))
    return _polygon(OUTLINES[shape], u, v)


def _polygon(corners: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the signed distance to a polygon, from the nearest edge and the parity of ray crossings."""
    nearest = np.full(u.shape, np.inf)
    inside = np.zeros(u.shape, dtype=bool)
    for (u0, v0), (u1, v1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        du, dv = u1 - u0, v1 - v0
        along = (((u - u0) * du + (v - v0) * dv) / (du**2 + dv**2)).clip(0, 1)
        nearest = np.minimum(nearest, np.hypot(u - u0 - along * du, v - v0 - along * dv))
        if dv:
            inside ^= ((v0 > v) != (v1 > v)) & (u < du * (v - v0) / dv + u0)
    return np.where(inside, -nearest, nearest)


def _regular(corners: int, radii: tuple[float, ...]) -> np.ndarray:
    """Return corners around the centre, the first on top, with alternating radii: (corners, 2)."""
    angles = 2 * np.pi * np.arange(corners) / corners
    radius = np.resize(radii, corners)
    return np.stack([radius * np.sin(angles), -radius * np.cos(angles)], axis=1)


def _cross(arm: float, length: float) -> np.ndarray:
    quarter = [(arm, -length), (arm, -arm), (length, -arm)]
    rotation = np.array([[0, -1], [1, 0]])
    return np.concatenate([np.array(quarter) @ np.linalg.matrix_power(rotation.T, k) for k in range(4)])


def _rectangle(width: float, height: float) -> np.ndarray:
    return np.array([(-width, -height), (width, -height), (width, height), (-width, height)])


OUTLINES = {
    Shape.TRIANGLE: _regular(3, (1.15,)),
    Shape.SQUARE: _rectangle(0.82, 0.82),
    Shape.STAR: _regular(10, (1.15, 0.45)),
    Shape.CROSS: _cross(0.28, 1.05),
    Shape.BAR: _rectangle(1.12, 0.3),
}
