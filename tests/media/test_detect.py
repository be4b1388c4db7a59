"""Files are recognised by their content, not by their name."""

import io
import zipfile
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.media.detect import HEAD_BYTES, detect
from imagebind.modality import MediaKind
from imagebind.transforms.audio import load_audio
from imagebind.transforms.image import ImageTransform
from tests.media.filmed import make_video
from tests.media.measured import encoded
from tests.media.motion import PLAIN

TONE = (np.sin(np.arange(8000) / 8) * 0.3).astype(np.float32)
COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
ISO_BOX = b"\0\0\0\x08"


@cache
def ffmpeg_audio(form: str, codec: str, *, cover: bool = False) -> bytes:
    """Encode 8000 samples of a tone with FFmpeg, on request with cover art."""
    rate = 48000 if codec in ("ac3", "eac3") else 16000
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if cover:
            cover_stream = container.add_stream("mjpeg", rate=1)
            cover_stream.width, cover_stream.height, cover_stream.pix_fmt = 32, 24, "yuvj420p"
            cover_stream.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if cover:
            image = av.VideoFrame.from_ndarray(COLOURS, format="rgb24").reformat(format="yuvj420p")
            container.mux(cover_stream.encode(image))
            container.mux(cover_stream.encode())
    return file.getvalue()


def soundfile_audio(form: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TONE, 16000, format=form, subtype=subtype)
    return file.getvalue()


def test_every_image_format_is_an_image():
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO"):
        assert detect(encoded(COLOURS, form)) is MediaKind.IMAGE, form
    for form, options in (("SGI", {}), ("TIFF", {"big_tiff": True})):
        assert detect(encoded(COLOURS, form, **options)) is MediaKind.IMAGE, form
        assert ImageTransform()(encoded(COLOURS, form, **options)).shape == (3, 224, 224), form
    for mode in ("L", "LA", "P", "RGBA", "1"):
        file = io.BytesIO()
        Image.fromarray(COLOURS).convert(mode).save(file, "PNG")
        assert detect(file) is MediaKind.IMAGE, mode


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_dark_image_without_zero_bytes_is_not_text(mode, tmp_path):
    path = tmp_path / "dark.txt"  # with the suffix of a text file
    dark = np.random.default_rng(1).integers(1, 127, (40, 48, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(dark).convert(mode).save(file, "PPM")
    header, _, pixels = file.getvalue().partition(b"48 40\n")
    content = header + b"# by hand\n48 40\n" + (bytes([65]) * len(pixels) if mode == "1" else pixels)
    assert b"\0" not in content and content.isascii()
    path.write_bytes(content)
    assert detect(path) is MediaKind.IMAGE
    path.write_bytes(content[:-1])  # not whole, hence valid text
    assert detect(path) is MediaKind.TEXT


def test_a_dark_raw_video_is_not_text():
    header = b"YUV4MPEG2 W32 H24 F25:1 Ip A1:1 C420jpeg\n"
    content = header + 3 * (b"FRAME\n" + bytes([65]) * (32 * 24 * 3 // 2))
    assert detect(content) is MediaKind.VIDEO
    assert detect(make_video(frames=3, container="yuv4mpegpipe", codec="wrapped_avframe")) is MediaKind.VIDEO


@pytest.mark.parametrize(
    ("dtype", "form", "message"),
    [
        ("uint16", "PNG", "16-bit grayscale PNG"),
        ("uint16", "TIFF", "16-bit grayscale TIFF"),
        (">u2", "TIFF", "16-bit grayscale TIFF"),
        ("uint16", "PPM", "grayscale PPM"),
        ("int32", "TIFF", "integer grayscale TIFF"),
        ("float32", "TIFF", "float grayscale TIFF"),
        ("float32", "npy", r"array file \(\.npy\)"),
        ("float32", "npz", r"array file \(\.npz\)"),
    ],
)
def test_an_ambiguous_file_raises_an_error_that_says_how_to_name_its_type(dtype, form, message):
    with pytest.raises(
        AmbiguousMediaError, match=rf"{message}.*\{{'depth': path\}} or \{{'thermal': path\}}"
    ):
        detect(encoded(np.ones((24, 32), dtype), form))


def test_npy_may_be_imu_and_npz_may_not():
    with pytest.raises(AmbiguousMediaError, match="imu"):
        detect(encoded(np.ones((9, 6)), "npy"))
    with pytest.raises(AmbiguousMediaError) as caught:
        detect(encoded(np.ones((9, 6)), "npz"))
    assert "imu" not in str(caught.value)


def test_every_audio_format_is_audio():
    for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "RF64", "W64", "VOC", "SVX", "NIST"):
        assert detect(soundfile_audio(form)) is MediaKind.AUDIO, form
        # FFmpeg drops the first Vorbis block if it has no time stamp
        assert load_audio(soundfile_audio(form))[0].shape[-1] >= len(TONE) - 512, form
    little = io.BytesIO()
    soundfile.write(little, TONE, 16000, format="AU", endian="LITTLE")
    assert detect(little) is MediaKind.AUDIO
    assert detect(soundfile_audio("OGG", "OPUS")) is MediaKind.AUDIO
    assert detect(soundfile_audio("WAV", "FLOAT")) is MediaKind.AUDIO
    for form, codec in [
        *(("adts", "aac"), ("ipod", "aac"), ("mp3", "libmp3lame"), ("matroska", "aac")),
        *(("wv", "wavpack"), ("tta", "tta"), ("ac3", "ac3"), ("eac3", "eac3"), ("nut", "pcm_s16le")),
    ]:
        assert detect(ffmpeg_audio(form, codec)) is MediaKind.AUDIO, form
        assert load_audio(ffmpeg_audio(form, codec))[0].shape[-1] > 7000, form


def test_mp3_is_recognised_with_and_without_its_tag():
    tagged = ffmpeg_audio("mp3", "libmp3lame")
    assert tagged.startswith(b"ID3")
    bare = tagged[tagged.index(b"\xff\xfb" if b"\xff\xfb" in tagged else b"\xff\xf3") :]
    assert detect(tagged) is detect(bare) is MediaKind.AUDIO


def test_audio_with_cover_art_is_audio():
    for form, codec in [("mp3", "libmp3lame"), ("mp4", "aac")]:
        assert detect(ffmpeg_audio(form, codec, cover=True)) is MediaKind.AUDIO, form


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "libx264"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
        ("mpegts", "libx264"),
        ("mpeg", "mpeg2video"),
        ("flv", "flv"),
        ("asf", "mpeg4"),
        ("nut", "mpeg4"),
        ("ivf", "libvpx"),
        ("mxf", "mpeg2video"),
    ],
)
def test_every_container_with_a_video_stream_is_a_video(container, codec):
    assert detect(make_video(frames=5, container=container, codec=codec)) is MediaKind.VIDEO


def test_a_transport_stream_with_times_between_its_packets_is_a_video():
    plain = make_video(frames=5, container="mpegts")
    timed = b"".join(b"\0\0\0\0" + plain[at : at + 188] for at in range(0, len(plain), 188))
    assert detect(timed) is MediaKind.VIDEO


def test_a_video_whose_tags_are_not_utf_8_is_a_video():
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        container.metadata["title"] = "cafe-title"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 24, "yuv420p")))
        container.mux(stream.encode())
    assert detect(file.getvalue().replace(b"cafe-title", b"caf\xe9-title")) is MediaKind.VIDEO


def test_an_imu_table_is_recognised_by_its_header():
    for text in (PLAIN, PLAIN.replace(b",", b"\t"), PLAIN.replace(b",", b";"), b"\xef\xbb\xbf" + PLAIN):
        assert detect(text) is MediaKind.IMU
    assert detect(PLAIN.replace(b"\n", b"\r\n")) is MediaKind.IMU
    assert detect(b"\n" + PLAIN) is MediaKind.IMU
    latin = PLAIN.replace(b"accl_x,", "accl_x [m/s²],".encode("latin-1"))
    assert detect(latin) is MediaKind.IMU and detect(latin[:300]) is MediaKind.IMU


def test_other_tables_are_refused_with_the_expected_columns(tmp_path):
    path = tmp_path / "prices.csv"
    for content in (b"date,price\n1,2\n", b"\xef\xbb\xbf", b" \n", PLAIN.replace(b"gyro_z", b"smell")):
        path.write_bytes(content)
        with pytest.raises(MediaError, match=r"prices\.csv: .*gyro_x.*, got a table"):
            detect(path)


@pytest.mark.parametrize(
    "start",
    [
        "BMW is a car",
        "Get free pizza",
        "The wide river",
        "ID3 tags",
        "FLV files",
        "RIFF",
        "GIF89a",
        "OggS",
        "\ufeffA",
    ],
)
def test_a_text_that_begins_like_another_format_is_text(start, tmp_path):
    for suffix in (".txt", ".md", ".TXT"):
        path = tmp_path / f"note{suffix}"
        path.write_text(start + " and so on.\n" * 1000, encoding="utf-8")
        assert detect(path) is MediaKind.TEXT
    path.write_text("G" * 500)  # like the packets of a transport stream
    assert detect(path) is MediaKind.TEXT


def test_a_text_is_text_if_a_character_is_cut_at_the_end_of_its_head(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("x" * (HEAD_BYTES - 1) + "ö" * 50, encoding="utf-8")
    assert detect(path) is MediaKind.TEXT


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_text_in_another_encoding_is_refused_as_such(encoding, tmp_path):
    path = tmp_path / "note.txt"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path.write_bytes(mark + "A dög barks\n".encode(encoding))
    with pytest.raises(MediaError, match=r"note\.txt: expected text in UTF-8, got text"):
        detect(path)


def unknown_files() -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("word/document.xml", "<x/>")
    return {
        "archive.zip": archive.getvalue(),
        "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        "page.html": b"<!doctype html><title>A page</title>",
        "program": b"\x7fELF\x02\x01\x01" + bytes(60),
        "data.bin": np.random.default_rng(2).bytes(5000),
        "one": b"\0",
        "code.py": b"print('hello')\n",
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "reserved.ac3": b"\x0bw" + bytes(3) + b"\xff" + bytes(100),
        "digits.dat": b"P5 20 10 255 and so on",
        "reserved.mp3": b"\xff\xfb\xf0\x00" + bytes(100),
    }


@pytest.mark.parametrize("name", unknown_files())
def test_other_files_are_refused_with_the_known_media_types(name, tmp_path):
    (tmp_path / name).write_bytes(unknown_files()[name])
    with pytest.raises(MediaError, match="image, video, text, audio, depth, thermal, imu") as caught:
        detect(tmp_path / name)
    assert caught.value.item == str(tmp_path / name) and not isinstance(caught.value, AmbiguousMediaError)


def test_a_false_file_name_does_not_change_the_media_type(tmp_path):
    contents = {
        "a.wav": (encoded(COLOURS, "PNG"), MediaKind.IMAGE),
        "a.png": (soundfile_audio("WAV"), MediaKind.AUDIO),
        "a.txt": (make_video(frames=3), MediaKind.VIDEO),
        "a.mp4": (PLAIN, MediaKind.IMU),
    }
    for name, (content, kind) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert detect(tmp_path / name) is kind


def test_a_rare_format_is_read_if_its_media_type_is_named():
    targa = encoded(COLOURS, "TGA")
    with pytest.raises(
        MediaError, match=r"^<\d+ bytes>: expected .*, got unknown content.*\{'audio': path\}.*--modality"
    ):
        detect(targa)
    assert ImageTransform()(targa).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(COLOURS, "PNG")[:20], "an undamaged image, got one that cannot be read"),
        (b"\x1aE\xdf\xa3" + bytes(100), "container that cannot be opened"),
        (ISO_BOX + b"ftypisom" + bytes(50), "container"),
    ],
)
def test_a_file_cut_after_its_signature_is_refused(content, message):
    with pytest.raises(MediaError, match=message):
        detect(content)
