"""The small model, with the transforms of the toy world."""

import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.toyworld import world_transforms


@pytest.fixture(scope="session")
def tiny() -> Embedder:
    return Embedder(imagebind_tiny(pretrained=True), transforms=world_transforms(), num_workers=1)
