"""One small Ray cluster for all tests of the engine, and the tiny model."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder

START_ATTEMPTS = 3  # Ray's default for its own processes, 30 s, is too short on a busy machine


@pytest.fixture(scope="session")
def tiny() -> Embedder:
    return Embedder(imagebind_tiny(pretrained=True), num_workers=2)


@pytest.fixture(scope="session", autouse=True)
def loopback():
    """Make Ray listen on the loopback device only and send no usage statistics, whenever it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="session")
def ray_address():
    """Return the address of a cluster to which this process is connected."""
    from imagebind.distributed.ray_engine import ClusterError, connected

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.delenv("RAY_ADDRESS", raising=False)
        for left in reversed(range(START_ATTEMPTS)):
            try:
                ray = stack.enter_context(connected(None, num_cpus=2))
                break
            except ClusterError:
                if not left:
                    raise
        yield ray.get_runtime_context().gcs_address


@pytest.fixture
def media(tmp_path, image_file, audio_file, video_file) -> Path:
    """Return a folder with an image, audio, a video, a text and a damaged image."""
    folder = tmp_path / "media"
    folder.mkdir()
    for file in (image_file, audio_file, video_file):
        (folder / file.name).symlink_to(file)
    (folder / "star.txt").write_text("a red star")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    return folder
