"""Readers of published data sets and of the user's own files: each returns the items and missing files.

Readers for training return pairs: `found = llvip("LLVIP", split="train")`; then `PairDataset(found.pairs,
AlignedImages())`. Readers for evaluation, in the modules, return a `LabelledSet` or a `RetrievalSet`.
"""

from imagebind.datasets.layouts.audioset import audioset
from imagebind.datasets.layouts.ego4d import ego4d, pack_imu
from imagebind.datasets.layouts.found import Found
from imagebind.datasets.layouts.llvip import llvip
from imagebind.datasets.layouts.sun_rgbd import sun_rgbd

__all__ = ["Found", "audioset", "ego4d", "llvip", "pack_imu", "sun_rgbd"]
