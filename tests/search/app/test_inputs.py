"""Uploads: embedded as each media type that they may have, and refused by name."""

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
from imagebind.search.app.inputs import Upload, UploadEmbedder, UploadFile, limits_of
from imagebind.transforms.imu import ImuTransform
from tests.search.app.served import uploaded
from tests.search.crawled import tiny


@pytest.fixture
def embed(indexed):
    """Embed a file as if it were uploaded."""
    embedder = UploadEmbedder(indexed)

    def embedded(path: Path) -> Upload:
        with uploaded(path) as file:
            return embedder(file)

    return embedded


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
def test_an_upload_is_embedded_as_each_possible_media_type(embed, media, name, kinds):
    path = next(media.rglob(name))
    alike = tiny().encode({kinds[0].value: path})
    upload = embed(path)
    assert (upload.name, upload.kind, list(upload.vectors)) == (name, kinds[0], kinds)
    np.testing.assert_allclose(upload.vectors[kinds[0]], alike, atol=1e-5)
    assert (upload.thumbnails[kinds[0]] is None) == (kinds[0] is MediaKind.TEXT)


def test_a_16_bit_grayscale_image_is_embedded_as_depth_and_as_thermal(embed, media):
    upload = embed(next(media.rglob("depth.png")))
    assert upload.kind is None
    assert list(upload.vectors) == [MediaKind.DEPTH, MediaKind.THERMAL]


def test_a_2d_array_is_embedded_as_depth_and_the_error_for_imu_is_kept(embed, tmp_path):
    np.save(tmp_path / "deep.npy", np.full((40, 60), 2.0, dtype=np.float32))
    upload = embed(tmp_path / "deep.npy")
    assert upload.kind is None and list(upload.vectors) == [MediaKind.DEPTH, MediaKind.THERMAL]
    assert upload.refusals.keys() == {MediaKind.IMU}
    assert "deep.npy: expected" in upload.refusals[MediaKind.IMU]


def test_a_table_of_numbers_is_embedded_as_text_and_the_error_for_imu_is_kept(embed, tmp_path):
    (tmp_path / "numbers.txt").write_text("1 2 3 4 5 6 7\n" * 99)
    upload = embed(tmp_path / "numbers.txt")
    assert upload.kind is MediaKind.TEXT and list(upload.vectors) == [MediaKind.TEXT]
    assert "numbers.txt: expected" in upload.refusals[MediaKind.IMU]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (b"\0\1\2\3" * 9, "unknown content"),
    ],
)
def test_an_upload_that_fails_is_named_without_its_folder(embed, tmp_path, content, message):
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as caught:
        embed(path)
    assert str(caught.value).startswith("odd.png: ") and str(tmp_path) not in str(caught.value)


def test_an_upload_through_another_transform_than_the_indexs_is_refused(indexed, media):
    other = Embedder(tiny().model, transforms={"imu": ImuTransform(window_seconds=1.0)})
    embedder = UploadEmbedder(Index.open(indexed.uri, other))
    with (
        uploaded(next(media.rglob("imu.csv"))) as file,
        pytest.raises(SpaceMismatchError, match="transform of imu"),
    ):
        embedder(file)


def test_an_index_opened_without_an_embedder_is_refused(indexed):
    with pytest.raises(ValueError, match="expected an index opened with an embedder"):
        UploadEmbedder(Index.open(indexed.uri))


def test_an_upload_is_never_opened_by_its_name(indexed, media, monkeypatch):
    text = next(media.rglob("image.txt"))
    monkeypatch.chdir(text.parent)
    for name in (text.name, str(text), "../x.md", "http://127.0.0.1:9/x.txt"):
        with UploadFile(name) as file:
            file.write(b"a red star")
            upload = UploadEmbedder(indexed)(file)
        assert (upload.name, upload.kind) == (name, MediaKind.TEXT)
        np.testing.assert_allclose(
            upload.vectors[MediaKind.TEXT], tiny().encode(["a red star"])[0], atol=1e-5
        )


def write_flat(path: Path, width: int, height: int, mode: str) -> None:
    Image.new(mode, (width, height)).save(path)


def write_silence(path: Path, seconds: int) -> None:
    soundfile.write(path, np.zeros(seconds * 8000, np.int16), 8000)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("grey.png", lambda path: write_flat(path, 13_000, 13_000, "L"), "169,000,000 pixels"),
        ("rgb.png", lambda path: write_flat(path, 6000, 6000, "RGB"), "36,000,000 pixels"),
        (
            "deep.png",
            lambda path: write_flat(path, 6000, 5000, "I;16"),
            r"pixels \(max_pixels\), got .*30,000,000",
        ),
        ("long.flac", lambda path: write_silence(path, 2000), "2,000"),
    ],
)
def test_a_decompression_bomb_is_refused(embed, tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(MediaError, match=message):
        embed(tmp_path / name)


def test_limits_grow_with_an_uploads_size_up_to_the_usual_ones():
    assert limits_of(0) == Limits(max_pixels=24_000_000, max_seconds=600)
    assert limits_of(1_000_000) == Limits(max_pixels=64_000_000, max_seconds=2000)
    assert limits_of(10**9) == Limits()
