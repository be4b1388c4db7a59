"""Readers of data sets in their published layouts: each returns the pairs found, and the missing files.

`found = llvip("LLVIP", split="train")`; then `PairDataset(found.pairs, AlignedImages())`.
"""

from imagebind.datasets.layouts.audioset import audioset
from imagebind.datasets.layouts.ego4d import ego4d, pack_imu
from imagebind.datasets.layouts.found import Found
from imagebind.datasets.layouts.llvip import llvip
from imagebind.datasets.layouts.sun_rgbd import sun_rgbd

__all__ = ["Found", "audioset", "ego4d", "llvip", "pack_imu", "sun_rgbd"]
