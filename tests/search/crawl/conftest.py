"""Fixtures: files of the toy world that a test may change, and the path of an index."""

import shutil
from pathlib import Path

import pytest

SCENES, FILES = 4, 8  # scenes, and files per scene


@pytest.fixture
def media(world, tmp_path) -> Path:
    """A copy of the world that a test may change."""
    return Path(shutil.copytree(world, tmp_path / "media"))


@pytest.fixture
def db(tmp_path) -> Path:
    return tmp_path / "media.lance"
