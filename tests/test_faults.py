"""Bad items among good ones: each is named with what is wrong, and costs nothing but itself."""

import io
import os
import time
import warnings
import zlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagebind.errors import MediaError
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.modality import MediaKind
from imagebind.transforms.video import VideoTransform
from tests.media.filmed import make_video
from tests.media.measured import damaged, encoded
from tests.media.motion import PLAIN

SAME = {"atol": 1e-5, "rtol": 0}
TONE = (np.sin(np.arange(8000) / 8) * 0.3).astype(np.float32)
SECONDS_ALLOWED = 5.0  # for one damaged file of a few kilobytes; the slowest good one takes a tenth


def written(form: str, samples: np.ndarray = TONE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=form)
    return file.getvalue()


def huge_sound() -> bytes:
    """A FLAC of a few bytes whose header promises 50 days, in the 36 bits from the middle of byte 21 on."""
    small = written("FLAC")
    return small[:21] + bytes([small[21] | 0x0F]) + b"\xff\xff\xff\xf0" + small[26:]


def huge_picture() -> bytes:
    """A PNG of a few bytes whose header promises 10 gigapixels."""
    small = encoded(np.zeros((1, 1), np.uint8), "PNG")
    header = small[12:16] + (100_000).to_bytes(4, "big") * 2 + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


def huge_array() -> bytes:
    small = encoded(np.zeros((10, 10), np.float32), "npy")
    return small.replace(b"(10, 10), }" + b" " * 8, b"(99999999, 9999), }")


def good_items(at, image_file, audio_file, imu_file) -> list:
    """Odd, but right."""
    (at / "two\nlines.jpg").write_bytes(image_file.read_bytes())
    (at / "two.mp4").write_bytes(make_video(frames=2))
    (at / "grey.mkv").write_bytes(make_video(frames=5, container="matroska"))
    (at / "eight.wav").write_bytes(written("WAV", np.stack([TONE] * 8, axis=1)))
    (at / os.fsdecode(b"caf\xe9.jpg")).write_bytes(image_file.read_bytes())
    return [
        "a dog",
        {"image": np.zeros((1, 1, 3), np.uint8)},
        at / "two.mp4",
        {"video": np.full((9, 30, 40), 99, np.uint8), "fps": 25},
        at / "grey.mkv",
        at / "eight.wav",
        at / "two\nlines.jpg",
        at / os.fsdecode(b"caf\xe9.jpg"),
        "word " * 100_000,
        "",
        "half a letter \ud800",
        audio_file,
        imu_file,
        {"depth": np.full((9, 9), 2.0)},
    ]


def bad_items(at, image_file, audio_file, video_file) -> list[tuple[object, str, str]]:
    """(item, what its error is about, what the error calls it)."""
    files = {
        "empty.png": b"",
        "cut.jpg": image_file.read_bytes()[:2000],
        "cut.wav": audio_file.read_bytes()[:60],
        "cut.mp4": video_file.read_bytes()[:500],
        "noise.bin": bytes(range(256)) * 9,
        "huge.png": huge_picture(),
        "huge.flac": huge_sound(),
        "huge.npy": huge_array(),
        "silent.mp4": make_video(frames=5),
        "moment.wav": written("WAV", TONE[:10]),
    }
    for name, content in files.items():
        (at / name).write_bytes(content)
    os.mkfifo(at / "pipe.wav")
    (at / "loop").symlink_to(at / "loop")
    return [
        (at / "none.png", "no such file", "none.png"),
        (at / "empty.png", "an empty file", "empty.png"),
        (at / "cut.jpg", "cut short", "cut.jpg"),
        (at / "cut.wav", "expected", "cut.wav"),
        (at / "cut.mp4", "container", "cut.mp4"),
        (at / "noise.bin", "unknown content", "noise.bin"),
        ({"audio": image_file}, "no audio stream", image_file.name),
        ({"image": audio_file}, "not an image", audio_file.name),
        ({"video": audio_file}, "no video stream", audio_file.name),
        (at / "huge.png", "pixels", "huge.png"),
        (at / "huge.flac", "cut short", "huge.flac"),
        ({"depth": at / "huge.npy"}, "max_pixels", "huge.npy"),
        ({"audio": at / "silent.mp4"}, "no audio stream", "silent.mp4"),
        (at / "moment.wav", "at least 0.025 s", "moment.wav"),
        (at, "a folder", at.name),
        (at / "pipe.wav", "a pipe", "pipe.wav"),
        (at / "loop", "symbolic links", "loop"),
        ({"audio": np.full(9000, np.nan, np.float32), "rate": 16000}, "NaN", "ndarray"),
        ({"audio": np.zeros(0, np.float32), "rate": 16000}, "shape (0,)", "ndarray"),
        ({"depth": np.full((9, 9), np.nan)}, "no valid pixel", "ndarray"),
        ({"image": np.full((9, 9, 3), np.nan)}, "floats from nan", "ndarray"),
        ({"thermal": np.full((9, 9), np.inf)}, "infinite", "ndarray"),
        ({"imu": np.full((2000, 6), np.nan), "rate": 400}, "NaN", "ndarray"),
        ({"video": np.zeros((0, 9, 9, 3), np.uint8), "fps": 25}, "shape", "ndarray"),
        ({"text": 7}, "got int", "int"),
        ({"smell": "a rose"}, "0 modalities", "smell"),
        (["a list", "inside"], "got list", "list"),
        (None, "NoneType", "NoneType"),
        (np.ones((9, 9)), "unknown modality", "ndarray"),
        ({"image": image_file, "size": 8}, "of shape (3, 8, 8)", image_file.name),
        ({"audio": audio_file, "mel_bins": 64}, "of shape (1, 64, 204)", audio_file.name),
        ({"audio": audio_file, "clips": 0}, "clips=0", audio_file.name),
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_every_bad_item_is_explained_and_no_good_one_is_lost(
    embedder, tmp_path, image_file, audio_file, video_file, imu_file
):
    good = good_items(tmp_path, image_file, audio_file, imu_file)
    bad = bad_items(tmp_path, image_file, audio_file, video_file)
    mixed = [(item, True) for item in good] + [(item, False) for item, _, _ in bad]
    order = np.random.default_rng(0).permutation(len(mixed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        vectors, report = embedder.encode(
            [mixed[i][0] for i in order], on_error="skip", return_report=True, batch_size=8
        )
    assert [result.index for result in report] == list(range(len(mixed)))
    by_item = {int(i): (vectors[row], report[row]) for row, i in enumerate(order)}
    for i, item in enumerate(good):
        vector, result = by_item[i]
        assert result.error is None, result.error
        np.testing.assert_allclose(vector, embedder.encode(item), **SAME, err_msg=result.name)
    for i, (item, about, name) in enumerate(bad, start=len(good)):
        vector, result = by_item[i]
        assert isinstance(result.error, MediaError), (item, result.error)
        message = str(result.error)
        assert about in message and name in result.error.item, message
        assert message.startswith(
            (f"{result.error.item}: expected ", f"{result.error.item}: {result.error.got}")
        )
        assert np.isnan(vector).all() and result.vector is None


def real_files() -> dict[MediaKind, list[bytes]]:
    """Small files of each kind, so that a change of one byte is likely to matter."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    deep = np.linspace(500, 6000, 40 * 50).reshape(40, 50).astype(np.uint16)
    return {
        MediaKind.IMAGE: [encoded(colours, form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")],
        MediaKind.AUDIO: [written(form) for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF")],
        MediaKind.VIDEO: [make_video(frames=6, container=kind) for kind in ("mp4", "matroska", "mpegts")],
        MediaKind.DEPTH: [encoded(deep, "PNG"), encoded(deep / 1e3, "npy"), encoded(deep / 1e3, "npz")],
        MediaKind.THERMAL: [encoded(deep, "PNG"), encoded(deep, "TIFF")],
        MediaKind.IMU: [PLAIN],
        MediaKind.TEXT: ["Ein Hörnchen\n".encode() * 20],
    }


FILES = real_files()
TRANSFORMS = {kind: default_transform(kind) for kind in MediaKind if kind is not MediaKind.VIDEO} | {
    MediaKind.VIDEO: VideoTransform(clips=2, crops=1)
}


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_files_give_a_media_error_or_finite_numbers_in_time(kind, data):
    content = data.draw(damaged(FILES[kind]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the damage
        for modality in (None, kind):
            start = time.perf_counter()
            try:
                request = identify(content, modality=modality)
                views = prepare(request, TRANSFORMS[request.kind]).views
            except MediaError as error:
                assert error.got and (error.expected or error.hint)
            else:
                assert len(views) and views.isfinite().all()
            assert time.perf_counter() - start < SECONDS_ALLOWED


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    head=st.sampled_from([content[:16] for files in FILES.values() for content in files]), tail=st.binary()
)
def test_any_bytes_behind_any_beginning_are_a_kind_or_a_media_error(head, tail):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert identify(head + tail).kind in MediaKind
        except MediaError as error:
            assert error.item.startswith("<")
