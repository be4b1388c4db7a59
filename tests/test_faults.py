"""Bad items among good ones: each raises an error that names it, and the others are unaffected."""

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


def audio_bytes(form: str, samples: np.ndarray = TONE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=form)
    return file.getvalue()


def huge_audio() -> bytes:
    """Return a FLAC of a few bytes whose header states 50 days, in the 36 bits from mid-byte 21 on."""
    small = audio_bytes("FLAC")
    return small[:21] + bytes([small[21] | 0x0F]) + b"\xff\xff\xff\xf0" + small[26:]


def huge_image() -> bytes:
    """Return a PNG of a few bytes whose header states 10 gigapixels."""
    small = encoded(np.zeros((1, 1), np.uint8), "PNG")
    header = small[12:16] + (100_000).to_bytes(4, "big") * 2 + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


def huge_array() -> bytes:
    small = encoded(np.zeros((10, 10), np.float32), "npy")
    return small.replace(b"(10, 10), }" + b" " * 8, b"(99999999, 9999), }")


def good_items(folder, image_file, audio_file, imu_file) -> list:
    """Return unusual but valid items."""
    (folder / "two\nlines.jpg").write_bytes(image_file.read_bytes())
    (folder / "two.mp4").write_bytes(make_video(frames=2))
    (folder / "grey.mkv").write_bytes(make_video(frames=5, container="matroska"))
    (folder / "eight.wav").write_bytes(audio_bytes("WAV", np.stack([TONE] * 8, axis=1)))
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(image_file.read_bytes())
    return [
        "a dog",
        {"image": np.zeros((1, 1, 3), np.uint8)},
        folder / "two.mp4",
        {"video": np.full((9, 30, 40), 99, np.uint8), "fps": 25},
        folder / "grey.mkv",
        folder / "eight.wav",
        folder / "two\nlines.jpg",
        folder / os.fsdecode(b"caf\xe9.jpg"),
        "word " * 100_000,
        "",
        "a lone surrogate \ud800",
        audio_file,
        imu_file,
        {"depth": np.full((9, 9), 2.0)},
    ]


def bad_items(folder, image_file, audio_file, video_file) -> list[tuple[object, str, str]]:
    """Return (item, a part of its error, the name of the item in it)."""
    files = {
        "empty.png": b"",
        "cut.jpg": image_file.read_bytes()[:2000],
        "cut.wav": audio_file.read_bytes()[:60],
        "cut.mp4": video_file.read_bytes()[:500],
        "noise.bin": bytes(range(256)) * 9,
        "huge.png": huge_image(),
        "huge.flac": huge_audio(),
        "huge.npy": huge_array(),
        "silent.mp4": make_video(frames=5),
        "moment.wav": audio_bytes("WAV", TONE[:10]),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.wav")
    (folder / "loop").symlink_to(folder / "loop")
    return [
        (folder / "none.png", "no such file", "none.png"),
        (folder / "empty.png", "an empty file", "empty.png"),
        (folder / "cut.jpg", "cut short", "cut.jpg"),
        (folder / "cut.wav", "expected", "cut.wav"),
        (folder / "cut.mp4", "container", "cut.mp4"),
        (folder / "noise.bin", "unknown content", "noise.bin"),
        ({"audio": image_file}, "no audio stream", image_file.name),
        ({"image": audio_file}, "not an image", audio_file.name),
        ({"video": audio_file}, "no video stream", audio_file.name),
        (folder / "huge.png", "pixels", "huge.png"),
        (folder / "huge.flac", "cut short", "huge.flac"),
        ({"depth": folder / "huge.npy"}, "max_pixels", "huge.npy"),
        ({"audio": folder / "silent.mp4"}, "no audio stream", "silent.mp4"),
        (folder / "moment.wav", "at least 0.025 s", "moment.wav"),
        (folder, "a folder", folder.name),
        (folder / "pipe.wav", "a pipe", "pipe.wav"),
        (folder / "loop", "symbolic links", "loop"),
        ({"audio": np.full(9000, np.nan, np.float32), "rate": 16000}, "NaN", "ndarray"),
        ({"audio": np.zeros(0, np.float32), "rate": 16000}, "shape (0,)", "ndarray"),
        ({"depth": np.full((9, 9), np.nan)}, "no valid pixel", "ndarray"),
        ({"image": np.full((9, 9, 3), np.nan)}, "floats from nan", "ndarray"),
        ({"thermal": np.full((9, 9), np.inf)}, "infinite", "ndarray"),
        ({"imu": np.full((2000, 6), np.nan), "rate": 400}, "NaN", "ndarray"),
        ({"video": np.zeros((0, 9, 9, 3), np.uint8), "fps": 25}, "shape", "ndarray"),
        ({"text": 7}, "got int", "int"),
        ({"smell": "a rose"}, "no media types", "smell"),
        (["a list", "inside"], "got list", "list"),
        (None, "NoneType", "NoneType"),
        (np.ones((9, 9)), "unknown modality", "ndarray"),
        ({"image": image_file, "size": 8}, "of shape (3, 8, 8)", image_file.name),
        ({"audio": audio_file, "mel_bins": 64}, "of shape (1, 64, 204)", audio_file.name),
        ({"audio": audio_file, "clips": 0}, "clips=0", audio_file.name),
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only POSIX has named pipes")
def test_every_bad_item_has_an_error_and_every_good_one_its_embedding(
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
    for i, (item, excerpt, name) in enumerate(bad, start=len(good)):
        vector, result = by_item[i]
        assert isinstance(result.error, MediaError), (item, result.error)
        message = str(result.error)
        assert excerpt in message and name in result.error.item, message
        assert message.startswith(
            (f"{result.error.item}: expected ", f"{result.error.item}: {result.error.got}")
        )
        assert np.isnan(vector).all() and result.vector is None


def real_files() -> dict[MediaKind, list[bytes]]:
    """Return small files of each media type, in which a change of one byte is likely to matter."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    deep = np.linspace(500, 6000, 40 * 50).reshape(40, 50).astype(np.uint16)
    return {
        MediaKind.IMAGE: [encoded(colours, form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")],
        MediaKind.AUDIO: [audio_bytes(form) for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF")],
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
def test_any_bytes_after_any_beginning_give_a_media_type_or_a_media_error(head, tail):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert identify(head + tail).kind in MediaKind
        except MediaError as error:
            assert error.item.startswith("<")
