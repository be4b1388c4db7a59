"""Fixtures: an index of files of the toy world, and the page that searches it, on a port."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from imagebind.modality import MediaKind
from imagebind.search import Hit, Index
from imagebind.search.app.service import PageService
from tests.search.app.served import Served, serving
from tests.search.crawled import crawled, tiny

ODD_NAME = "<img src=x onerror=alert(1)> ${1+1} {{2}}.png"
LONG_SECONDS = 24


@pytest.fixture(scope="session")
def media(world, tmp_path_factory) -> Path:
    """The world's scenes, audio long enough for windows, and an image with an odd name."""
    folder = tmp_path_factory.mktemp("media")
    shutil.copytree(world, folder, dirs_exist_ok=True)
    scenes = sorted(path.parent for path in folder.rglob("audio.wav"))
    recordings = [soundfile.read(scene / "audio.wav") for scene in scenes]
    rate = recordings[0][1]
    tiled = np.resize(np.concatenate([samples for samples, _ in recordings]), LONG_SECONDS * rate)
    soundfile.write(folder / "long.wav", tiled, rate)
    shutil.copy(scenes[0] / "image.png", folder / ODD_NAME)
    return folder


@pytest.fixture(scope="session")
def indexed(media, tmp_path_factory) -> Index:
    """The index of `media`. Tests must not change it."""
    db = tmp_path_factory.mktemp("app") / "world.lance"
    report = crawled(db, media)
    assert not report.failures
    return Index.open(db, tiny())


@pytest.fixture
def copied(indexed, media, tmp_path) -> Index:
    """An index and files that a test may change: an image with its thumbnail, and a string."""
    path = tmp_path / "image.png"
    shutil.copy(next(media.rglob("image.png")), path)
    db = tmp_path / "own.lance"
    crawled(db, path)
    index = Index.open(db, tiny())
    index.add(["/etc/hostname"])
    return index


@pytest.fixture(scope="session")
def service(indexed) -> PageService:
    return PageService(index=indexed)


@pytest.fixture(scope="module")
def served(indexed, tmp_path_factory) -> Iterator[Served]:
    """The page on a port, and the folder of its temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        with serving(indexed, max_upload_mb=1) as url:
            yield Served(url, folder)


def items(index: Index, kind: MediaKind) -> list[Hit]:
    """Return all rows of a media type, by path and start."""
    return sorted(index.sample(10**4, kinds=[kind]), key=lambda hit: (hit.path, hit.start or 0))
