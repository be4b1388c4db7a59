"""Fixtures of evaluation: an embedder that knows the toy world, and small data sets in published layouts."""

import pytest

from imagebind.embedder import Embedder
from imagebind.toyworld import world_transforms


@pytest.fixture(scope="session")
def world_embedder() -> Embedder:
    return Embedder("imagebind_tiny", device="cpu", transforms=world_transforms(), num_workers=2)
