"""Readers of data sets in the form they are published in: each gives the pairs it finds, and what is missing.

`found = llvip("LLVIP", split="train")`; then `PairDataset(found.pairs, AlignedPictures())`.
"""

from imagebind.training.layouts.audioset import audioset
from imagebind.training.layouts.ego4d import ego4d, pack_imu
from imagebind.training.layouts.found import Found
from imagebind.training.layouts.llvip import llvip
from imagebind.training.layouts.sun_rgbd import sun_rgbd

__all__ = ["Found", "audioset", "ego4d", "llvip", "pack_imu", "sun_rgbd"]
