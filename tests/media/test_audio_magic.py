"""Audio of rare formats, and streams with an unusual beginning, are recognised by their content."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from imagebind.errors import MediaError
from imagebind.media.audio_magic import has_audio_frames, is_audio
from imagebind.media.detect import HEAD_BYTES, detect
from imagebind.modality import MediaKind
from imagebind.transforms.audio import load_audio
from tests.media.filmed import needs_ffmpeg

AMR_BYTES = {"#!AMR\n": (12, 13, 15, 17, 19, 20, 26, 31), "#!AMR-WB\n": (17, 23, 32, 36, 40, 46, 50, 58, 60)}


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.fixture(scope="module")
def encode(tmp_path_factory):
    """Return a function that encodes one second of a tone with options of the ffmpeg command."""
    folder = tmp_path_factory.mktemp("encoded")

    def run(name: str, *options: str) -> Path:
        path = folder / name
        tone = ("-f", "lavfi", "-i", "sine=440:d=1:r=44100")
        command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", *tone, *options, str(path)]
        if not path.exists() and subprocess.run(command, capture_output=True).returncode:
            pytest.skip(f"this ffmpeg does not write {name}")
        return path

    return run


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adts.aac", ""),
        ("x.latm", "-f latm -c:a aac"),
        ("x.ac3", ""),
        ("x.eac3", ""),
        ("x.dts", "-strict -2 -c:a dca -ar 48000 -ac 2"),
        ("x.mlp", "-strict -2 -c:a mlp"),
        ("x.thd", "-strict -2 -c:a truehd"),
        ("x.tta", ""),
        ("x.wv", ""),
        ("x.adx", "-c:a adpcm_adx"),
        ("pcm.caf", ""),
        ("alac.caf", "-c:a alac"),
        ("x.au", ""),
        ("x.voc", ""),
        ("x.w64", ""),
        ("rf64.wav", "-rf64 always"),
        ("x.aiff", ""),
        ("x.mp2", ""),
        ("x.mp3", ""),
        ("bare.mp3", "-write_xing 0 -id3v2_version 0"),
        ("aac.ts", "-c:a aac"),
        ("mp2.ts", "-c:a mp2"),
        ("x.rm", "-f rm -c:a real_144 -ar 8000"),
        ("x.sox", "-f sox"),
        ("x.sf", "-f ircam"),
        ("x.mmf", "-c:a adpcm_yamaha"),
        ("x.wma", "-c:a wmav2"),
        ("x.3gp", "-c:a aac"),
    ],
)
def test_each_format_is_audio_by_its_content_alone(encode, name, options):
    path = encode(name, *options.split())
    assert detect(path) is detect(path.read_bytes()) is MediaKind.AUDIO


@pytest.mark.parametrize("magic", AMR_BYTES)
@pytest.mark.parametrize("best", [True, False], ids=["best", "worst"])
def test_amr_is_audio_and_is_decoded(tmp_path, magic, best):
    sizes = AMR_BYTES[magic]
    mode = len(sizes) - 1 if best else 0
    frames = b"".join(bytes([mode << 3 | 4]) + noise(sizes[mode], seed) for seed in range(50))  # of 20 ms
    path = tmp_path / "memo.amr"
    path.write_bytes(magic.encode() + frames)
    assert detect(path) is detect(path.read_bytes()) is MediaKind.AUDIO
    waveform, rate = load_audio(path)
    assert rate == (16000 if "WB" in magic else 8000) and waveform.shape == (1, rate)


@pytest.mark.parametrize("magic", [*AMR_BYTES, "#!AMR_MC1.0\n", "#!AMR-WB_MC1.0\n"])
def test_amr_whose_quiet_frames_look_like_text_is_audio(magic):
    assert detect(magic.encode() + b"|" * 200) is MediaKind.AUDIO


@pytest.mark.parametrize(
    "head",
    [
        b"DSD \x1c\0\0\0\0\0\0\0" + noise(80),
        b"FRM8\0\0\0\0\0\x02\x80rDSD FVER\0\0\0\0" + noise(80),
        b"MAC \x96\x0f\0\0" + noise(80),
        b"MPCKSH\x0f\0" + noise(80),
        b"MP+\x07" + noise(80),
        b"tBaK\x01\0\0\0" + noise(80),
        b"\x7f\xfe\x80\x01" + noise(80),
        b"\xfe\x7f\x01\x80" + noise(80),
        b"\x1f\xff\xe8\0" + noise(80),
        b"RIFF\x90\0\0\0QLCMfmt " + noise(80),
        b"ajkg\x02" + noise(80),
        b"qoaf\0\0\0\x10" + noise(80),
        b"ea3\x03\0\0\0\0" + noise(80),
    ],
    ids=lambda head: repr(head[:4]),
)
def test_formats_that_ffmpeg_does_not_write_are_audio_by_their_signatures(head):
    assert detect(head) is MediaKind.AUDIO


@needs_ffmpeg
@pytest.mark.parametrize("before", [b"\0" * 1000, noise(700), b"\xff" * 300], ids=["zeros", "noise", "ones"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bare.mp3", "-write_xing 0 -id3v2_version 0"),
        ("slow.mp3", "-write_xing 0 -id3v2_version 0 -ar 16000"),
        ("x.mp2", ""),
        ("adts.aac", ""),
    ],
)
def test_frames_behind_other_bytes_are_audio(encode, name, options, before):
    content = encode(name, *options.split()).read_bytes()
    assert detect(before + content) is MediaKind.AUDIO
    assert detect(content[100:]) is MediaKind.AUDIO  # cut within a frame


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("far.mp3", "-write_xing 0 -id3v2_version 0", "audio"),
        ("x.dts", "-strict -2 -c:a dca -ar 48000 -ac 2", "audio"),
        ("x.ac3", "", "audio"),
        ("aac.ts", "-c:a aac", "audio"),
        ("video.ts", "-f lavfi -i testsrc2=d=1 -c:v mpeg2video -c:a mp2", "video"),
    ],
)
def test_a_stream_cut_anywhere_is_recognised_by_its_suffix(encode, tmp_path, name, options, kind):
    path = tmp_path / name
    path.write_bytes(noise(HEAD_BYTES + 77) + encode(name, *options.split()).read_bytes()[77:])
    assert detect(path) == kind
    other = tmp_path / "stream.dat"
    shutil.copy(path, other)
    with pytest.raises(MediaError, match="unknown content"):
        detect(other)


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["mp2", "aac", "mp3"])
@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv", "flv", "avi"])
def test_a_video_whose_beginning_holds_frames_of_audio_is_a_video(encode, suffix, codec):
    codecs = {"mpg": ("mpeg2video", "-r", "25"), "flv": ("flv",)}.get(suffix, ("mpeg4",))
    frames = ("-f", "lavfi", "-i", "color=s=32x32:d=1:r=1", "-c:v", *codecs)
    path = encode(f"video_{codec}.{suffix}", *frames, "-c:a", codec, "-b:a", "32k")
    assert detect(path) is detect(path.read_bytes()) is MediaKind.VIDEO


def test_other_bytes_are_not_audio():
    for seed in range(300):
        content = b"\x81" + noise(HEAD_BYTES - 1, seed)
        assert not is_audio(content) and not has_audio_frames(content)
    for content in (b"", b"\xff", b"\xff\xfb", b"\0" * HEAD_BYTES, b"\xff" * HEAD_BYTES, b"V\xe0", b"\x80\0"):
        assert not is_audio(content) and not has_audio_frames(content)
