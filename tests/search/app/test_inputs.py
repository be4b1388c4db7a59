"""Uploads: embedded as each media type that they may have, refused by name, and deleted afterwards."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.modality import MediaKind
from imagebind.search import Index, SpaceMismatchError
from imagebind.search.app.inputs import UploadEmbedder, limits_of
from imagebind.transforms.imu import ImuTransform
from tests.search.crawled import tiny


@pytest.fixture
def intake(indexed) -> UploadEmbedder:
    return UploadEmbedder(indexed, max_upload_mb=1)


@pytest.fixture
def dropped(media, tmp_path):
    """A file of the world as it lies when it has been uploaded."""

    def drop(name: str) -> Path:
        return Path(shutil.copy(next(media.rglob(name)), tmp_path / name))

    return drop


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("audio.wav", [MediaKind.AUDIO]),
        ("image.txt", [MediaKind.TEXT]),
        ("imu.csv", [MediaKind.IMU]),
        ("image.png", [MediaKind.IMAGE, MediaKind.THERMAL]),
        ("video.mp4", [MediaKind.VIDEO]),  # it has no audio
    ],
)
def test_an_upload_is_embedded_as_each_possible_media_type_and_deleted(intake, dropped, name, kinds):
    path = dropped(name)
    alike = tiny().encode({kinds[0].value: path})
    part = intake.take(path)
    assert (part.name, part.kind, list(part.vectors)) == (name, kinds[0], kinds)
    np.testing.assert_allclose(part.vectors[kinds[0]], alike, atol=1e-5)
    assert not path.exists()
    assert (part.thumbnail is None) == (kinds[0] is MediaKind.TEXT)


def test_a_16_bit_grayscale_image_is_embedded_as_depth_and_as_thermal(intake, dropped):
    part = intake.take(dropped("depth.png"))
    assert part.kind is None and part.thumbnail is None
    assert list(part.vectors) == [MediaKind.DEPTH, MediaKind.THERMAL]


def test_an_array_that_only_one_media_type_accepts_has_it(intake, tmp_path):
    np.save(tmp_path / "deep.npy", np.full((2, 40, 60), 2.0, dtype=np.float32)[0])
    part = intake.take(tmp_path / "deep.npy")
    assert MediaKind.DEPTH in part.vectors and MediaKind.IMU not in part.vectors


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "empty, 0 bytes"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (b"\0\1\2\3" * 9, "unknown content"),
        (b"\xff" * 1_048_577, "1 MB"),
    ],
)
def test_an_upload_that_fails_is_named_without_its_folder_and_deleted(intake, tmp_path, content, seen):
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=seen) as caught:
        intake.take(path)
    assert str(caught.value).startswith("odd.png: ") and str(tmp_path) not in str(caught.value)
    assert not path.exists()


def test_a_deleted_upload_is_requested_again(intake, tmp_path):
    with pytest.raises(MediaError, match=r"lost\.png: a deleted upload"):
        intake.take(tmp_path / "lost.png")


def test_an_upload_through_another_transform_than_the_indexs_is_refused(indexed, dropped):
    other = Embedder(tiny().model, transforms={"imu": ImuTransform(window_seconds=1.0)})
    with pytest.raises(SpaceMismatchError, match="transform of imu"):
        UploadEmbedder(Index.open(indexed.uri, other), max_upload_mb=1).take(dropped("imu.csv"))


def test_an_index_opened_without_an_embedder_is_refused(indexed):
    with pytest.raises(ValueError, match="expected an index opened with an embedder"):
        UploadEmbedder(Index.open(indexed.uri), max_upload_mb=1)


def test_the_same_file_dropped_twice_is_the_same_part_although_the_first_took_it_away(intake, dropped):
    path = dropped("audio.wav")
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(intake.take, [path] * 4)
    for part in others:
        np.testing.assert_array_equal(part.vectors[MediaKind.AUDIO], first.vectors[MediaKind.AUDIO])
    broken = path.with_name("broken.wav")
    broken.write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    for _ in range(2):
        with pytest.raises(MediaError, match=r"broken\.wav: (?!a deleted)"):
            intake.take(broken)
    with pytest.raises(MediaError, match="a deleted upload"):
        intake.take(path.with_name("never.wav"))


def write_flat(path: Path, width: int, height: int, mode: str) -> None:
    Image.new(mode, (width, height)).save(path)


def write_silence(path: Path, seconds: int) -> None:
    soundfile.write(path, np.zeros(seconds * 8000, np.int16), 8000)


@pytest.mark.parametrize(
    ("name", "write", "seen"),
    [
        ("grey.png", lambda path: write_flat(path, 13_000, 13_000, "L"), "169,000,000 pixels"),
        ("rgb.png", lambda path: write_flat(path, 6000, 6000, "RGB"), "36,000,000 pixels"),
        ("deep.png", lambda path: write_flat(path, 6000, 5000, "I;16"), "30,000,000 pixels"),
        ("hours.flac", lambda path: write_silence(path, 2000), "2,000"),
    ],
)
def test_a_few_bytes_that_decode_to_very_much_are_refused_before_that(intake, tmp_path, name, write, seen):
    write(tmp_path / name)
    with pytest.raises(MediaError, match=seen):
        intake.take(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_limits_grow_with_an_uploads_size_up_to_the_usual_ones():
    assert limits_of(0) == Limits(max_pixels=24_000_000, max_seconds=600)
    assert limits_of(1_000_000) == Limits(max_pixels=64_000_000, max_seconds=2000)
    assert limits_of(10**9) == Limits()
