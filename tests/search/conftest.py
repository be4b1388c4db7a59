"""A folder of the toy world, written once."""

from pathlib import Path

import pytest

from imagebind.toyworld import write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """Four scenes of eight files each, and a manifest. Not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, 4, seed=5)
    return folder
