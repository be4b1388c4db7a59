"""Shared fixtures: a small model on disk and in memory, and real files of each media type."""

import os
from pathlib import Path

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # before PyTorch is imported
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))

import fsspec
import numpy as np
import pytest
import soundfile
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from imagebind.checkpoints.factory import save_model
from imagebind.embedder import Embedder
from imagebind.evaluation.judge import JUDGE_NAME, trained_judge
from imagebind.models.imagebind_model import ImageBindModel
from tests.reference import DATA, filled_model, small_config

settings.load_profile("ci")  # the same examples in every run; others: pytest --hypothesis-profile default


@pytest.fixture(scope="session")
def small_model() -> ImageBindModel:
    return filled_model(small_config())


@pytest.fixture(scope="session")
def embedder(small_model) -> Embedder:
    return Embedder(small_model, num_workers=2)


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory, small_model) -> Path:
    """A folder of weights, as an argument of `--weights`."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_model(small_model, folder)
    return folder


@pytest.fixture(scope="session")
def image_file() -> Path:
    return DATA / "preprocessing" / "rgb_640x480.jpg"


@pytest.fixture(scope="session")
def audio_file() -> Path:
    return DATA / "preprocessing" / "mono_16k_7s.wav"


@pytest.fixture(scope="session")
def opposite_file(tmp_path_factory) -> Path:
    """Twelve seconds of audio that is read with a warning, since its two channels cancel out."""
    path = tmp_path_factory.mktemp("opposite") / "opposite.wav"
    tone = np.sin(np.arange(12 * 16_000) / 10) * 0.5
    soundfile.write(path, np.stack([tone, -tone], axis=1), 16_000)
    return path


@pytest.fixture(scope="session")
def video_file() -> Path:
    return DATA / "preprocessing" / "tall_240x320_30fps_4s.mp4"


@pytest.fixture(scope="session")
def deep_grey_file(tmp_path_factory) -> Path:
    """A 16-bit grayscale PNG that may be depth in millimetres or thermal; its content does not decide."""
    path = tmp_path_factory.mktemp("deep") / "deep.png"
    Image.fromarray(np.linspace(500, 6000, 64 * 80).reshape(64, 80).astype(np.uint16)).save(path)
    return path


@pytest.fixture(scope="session")
def imu_file(tmp_path_factory) -> Path:
    """Six seconds of IMU samples of a phone that rotates in place."""
    path = tmp_path_factory.mktemp("imu") / "walk.csv"
    seconds = np.arange(0, 6, 0.01)
    rows = np.zeros((len(seconds), 7))
    rows[:, 0], rows[:, 3], rows[:, 4] = seconds, 9.81, np.sin(seconds)
    header = "timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"
    np.savetxt(path, rows, delimiter=",", header=header, comments="")
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """The toy world: four scenes of eight files each, and a manifest. Tests must not change it."""
    from imagebind.toyworld import write_world

    folder = tmp_path_factory.mktemp("world")
    write_world(folder, 4, seed=5)
    return folder


@pytest.fixture(scope="session")
def unclip_folder(tmp_path_factory) -> Path:
    """A folder of Stable unCLIP for embeddings of imagebind_tiny, with random weights."""
    from tests.applications.unclip_folder import write_unclip

    return write_unclip(tmp_path_factory.mktemp("unclip"), embed_dim=128)


@pytest.fixture
def memory():
    """fsspec's store in memory, empty."""
    store = fsspec.filesystem("memory")
    store.rm("/", recursive=True)
    yield store
    store.rm("/", recursive=True)


@pytest.fixture(scope="session")
def judge_file(tmp_path_factory) -> Path:
    """The weights of the judge of generated images, which is trained once for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each process has its own folder inside the run's
        folder = folder.parent
    with FileLock(folder / "judge.lock", timeout=800):
        trained_judge(folder)
    return folder / JUDGE_NAME
