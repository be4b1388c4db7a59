"""Stems that start as waves: patches seen by their lowest frequencies, places told by sines and cosines.

A stem that is drawn at random sees mostly the finest grain of its patches. Large models get over it; a small
one on two cores spends its whole training there. Measured on stills of the world, shape from 19,000 pictures,
chance being 12%: 20% drawn at random, 51% so.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from imagebind.models.model import ImageBindModel
from imagebind.models.stems import ImuPreprocessor, PositionTable, VisionPreprocessor

HIGHEST = 16  # waves along a side of a patch: no stem here is wide enough for more
COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])  # light, and two opponents
TINTED = 1.5  # how much later than brightness a wave of colour comes, as in how pictures are compressed
CHANGE = 3.0  # likewise of what differs between two frames, in waves along a side
LIFT = 0.5  # of frequencies: how loud the mean of a patch is beside its first wave
PLACES = 100.0  # patches: the longest of the sines that tell places
PLACE_SIZE = 0.5

# How loud the waves are. Vision's stem has no norm of its own, and wants to be changed slowly besides: an
# optimiser's steps are of one size, whatever a weight's.
VISION_GAIN = 3.0
GAIN = 1.0


@torch.no_grad()
def start_as_waves(model: ImageBindModel) -> ImageBindModel:
    """Set the stems and places of all that is cut into patches; returns the model, changed in place."""
    for stem in model.modality_preprocessors.values():
        gain = VISION_GAIN if isinstance(stem, VisionPreprocessor) else GAIN
        for layer in stem.modules():
            if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
                layer.weight.copy_(gain * waves(tuple(layer.weight.shape)))
            elif isinstance(layer, PositionTable):
                layer.pos_embed[0, 1:] = grid_places(layer.grid, layer.pos_embed.shape[2])
        if isinstance(stem, ImuPreprocessor):
            weight = stem.imu_stem.proj.weight  # (d, c·window)
            shape = (len(weight), stem.sample_shape[0], stem.imu_stem.window)
            weight.copy_(gain * waves(shape).flatten(1))
            _, places, width = stem.pos_embed.shape
            stem.pos_embed[0, 1:] = line_places(places - 1, width)
    return model


def waves(shape: tuple[int, ...]) -> Tensor:
    """The lowest frequencies of a patch as filters: (d, c, *sides) of float32.

    They are those of the discrete cosine transform, along each side and over the channels, as loud as they
    are high, for the pictures of nature get fainter as they get finer.
    """
    filters = np.empty(shape, dtype=np.float32)
    lowest = itertools.cycle(_lowest(shape[1], shape[2:], shape[0]))
    for each, (mix, places, frequency) in zip(filters, lowest, strict=False):
        wave = mix
        for place, side in zip(places, shape[2:], strict=True):
            wave = np.multiply.outer(wave, _cosine(side, place))
        each[:] = wave * (frequency + LIFT)
    return torch.from_numpy(filters)


def line_places(length: int, width: int) -> Tensor:
    """Places along a line as sines and cosines: (length, width)."""
    return PLACE_SIZE * _sines(np.arange(length), width)


def grid_places(grid: tuple[int, int], width: int) -> Tensor:
    """Places on a grid: half of the width tells the row, half the column: (rows·columns, width)."""
    rows, columns = np.meshgrid(*map(np.arange, grid), indexing="ij")
    return PLACE_SIZE * torch.cat([_sines(axis.ravel(), width // 2) for axis in (rows, columns)], dim=1)


def _lowest(
    channels: int, sides: Sequence[int], count: int
) -> list[tuple[np.ndarray, tuple[int, ...], float]]:
    """The first waves: the mix of channels, the number of half waves along each side, and the frequency."""
    ranked = sorted(_all_waves(channels, sides), key=lambda wave: wave[0])
    return [wave[1:] for wave in ranked[:count]]


def _all_waves(
    channels: int, sides: Sequence[int]
) -> Iterator[tuple[float, np.ndarray, tuple[int, ...], float]]:
    mixes = COLOURS if channels == len(COLOURS) else np.eye(channels)
    for number, mix in enumerate(mixes):
        later = TINTED if channels == len(COLOURS) and number else 1.0
        for places in itertools.product(*(range(min(side, HIGHEST)) for side in sides)):
            steps = [
                place * (CHANGE if side == 2 else 1.0) for place, side in zip(places, sides, strict=True)
            ]
            frequency = math.hypot(*steps)
            yield (frequency + later - LIFT) * later, mix, places, frequency


def _cosine(side: int, place: int) -> np.ndarray:
    wave = np.cos(np.pi * (np.arange(side) + 0.5) * place / side)
    return wave / np.linalg.norm(wave)


def _sines(places: np.ndarray, width: int) -> Tensor:
    steps = PLACES ** (-np.arange(width // 2) / (width // 2))
    angles = places[:, None] * steps
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)).float()
