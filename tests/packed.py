"""Packs for tests: a modality of the small model with seeded weights, and recordings of its sensor."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.config import MultiChannelConfig, OneChannelConfig
from imagebind.models.bound import with_modality
from imagebind.models.model import ImageBindModel
from imagebind.packs import save_pack
from imagebind.transforms import ArrayTransform

SIDE = 32
EVENT_SIZES = OneChannelConfig(embed_dim=16, num_blocks=1, num_heads=2, image_size=SIDE, patch_size=8)
SPECTRAL_SIZES = MultiChannelConfig(
    embed_dim=16, num_blocks=1, num_heads=2, channels=5, image_size=SIDE, patch_size=8
)


@cache
def tiny() -> ImageBindModel:
    return imagebind_tiny(pretrained=True)


def event_pack(folder: Path, *, seed: int = 0) -> Path:
    """Save an event camera's pack, untrained; another seed gives another pack of the same modality."""
    torch.manual_seed(seed)
    model = with_modality(tiny(), "event", EVENT_SIZES).eval()
    transform = ArrayTransform(shape=(1, SIDE, SIDE), std=0.5)
    return save_pack(model, "event", folder, sizes=EVENT_SIZES, transform=transform)


def spectral_pack(folder: Path) -> Path:
    """Save the pack of a camera of five channels, untrained."""
    torch.manual_seed(0)
    model = with_modality(tiny(), "spectral", SPECTRAL_SIZES).eval()
    transform = ArrayTransform(
        shape=(5, SIDE, SIDE), mean=(0.1, 0.2, 0.3, 0.4, 0.5), std=(1.0, 1.0, 1.0, 2.0, 2.0)
    )
    return save_pack(model, "spectral", folder, sizes=SPECTRAL_SIZES, transform=transform)


def event_files(folder: Path, count: int = 3) -> list[Path]:
    """Write recordings of an event camera, `0.npy` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.npy" for number in range(count)]
    for path in paths:
        np.save(path, rng.normal(size=(SIDE, SIDE)).astype(np.float32))
    return paths
