"""Any stretch of audio equals that of FFmpeg's sequential decode, whichever encoder wrote the file."""

import io
import subprocess
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from imagebind.errors import MediaError, collect_warnings
from imagebind.io.source import DEFAULT_LIMITS
from imagebind.media.audio_file import load_audio, open_audio
from imagebind.media.sequential_audio import SequentialAudio
from tests.media.encoded import ENCODINGS, LOSSLESS, SECONDS, encode, ffmpeg_decodes, music
from tests.media.filmed import needs_ffmpeg

pytestmark = needs_ffmpeg
LOSSY_TOLERANCE = 1e-4  # of full scale
AAC_DELAY = 1024  # samples


def sequential(path: Path) -> np.ndarray:
    """Decode the first audio stream from beginning to end with PyAV: (channels, n)."""
    planar = av.AudioResampler(format="fltp")
    with av.open(path) as container:
        parts = [
            part.to_ndarray()
            for frame in container.decode(container.streams.audio[0])
            for part in planar.resample(frame)
        ]
    return np.concatenate(parts, axis=1)


def worst_difference(path: Path, whole: np.ndarray, *, stretches: int, seed: int) -> float:
    """Return the largest difference of random stretches, read in random order, from those of `whole`."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    with open_audio(path) as recording:
        assert recording.samples == whole.shape[1]
        for _ in range(stretches):
            first = int(rng.integers(0, recording.samples - 1))
            last = int(min(first + rng.integers(1, 3 * recording.rate), recording.samples))
            stretch = recording.read(first, last).numpy()
            assert stretch.shape == (recording.channels, last - first)
            worst = max(worst, float(np.abs(stretch - whole[:, first:last]).max()))
        assert all(recording.lost_samples(*stretch) == 0 for stretch in recording.stretches)
    return worst


def without_aac_padding(whole, expected: np.ndarray, *, rate: int, delay: int = 0) -> np.ndarray:
    """Cut AAC's delay and padding off `expected`, of the ffmpeg command, if `whole` has the source's length.

    FFmpeg 9, which PyAV 19 has, cuts them off as MP4 and Matroska state; the command may be older.
    """
    samples = int(SECONDS * rate)
    if whole.shape[1] != samples or expected.shape[1] == samples:
        return expected
    return expected[:, delay : delay + samples]


# One encoding for each way of counting packets; the test of a thousand stretches reads all encodings.
COUNTED = (
    *(
        "lame_v4.mp3",
        "lame_v4_without_xing.mp3",
        "lame_8k_mono.mp3",
        "mp3.mkv",
        "vorbis_q1.ogg",
        "vorbis.mkv",
    ),
    *(
        "opus_short.opus",
        "opus.webm",
        "aac.m4a",
        "ac3.ac3",
        "alac.m4a",
        "flac.mkv",
        "flac_24.flac",
        "wma2.wma",
    ),
    *("speex.ogg", "adpcm_ms.wav", "pcm_24.wav", "pcm.mkv", "mulaw.wav"),
)


@pytest.mark.parametrize("name", COUNTED)
def test_stretches_equal_those_of_a_sequential_decode(name, tmp_path):
    path = encode(tmp_path, name)
    tolerance = 0.0 if name.startswith(LOSSLESS) else LOSSY_TOLERANCE
    with collect_warnings() as warnings:
        assert worst_difference(path, sequential(path), stretches=8, seed=0) <= tolerance
    assert warnings == []


@pytest.mark.huge
def test_a_thousand_stretches_equal_those_of_a_sequential_decode(tmp_path):
    differences = {}
    for seed, name in enumerate(ENCODINGS):
        try:
            path = encode(tmp_path, name, seconds=20 + seed % 7, seed=seed)
        except pytest.skip.Exception:
            continue
        differences[name] = worst_difference(path, sequential(path), stretches=15, seed=seed)
    count, worst = 15 * len(differences), max(differences, key=lambda name: differences[name])
    print(f"\n{count} stretches of {len(differences)} encodings, worst {differences[worst]:.2g} ({worst})")
    assert len(differences) >= 40
    for name, difference in differences.items():
        assert difference <= (0.0 if name.startswith(LOSSLESS) else LOSSY_TOLERANCE), name


@pytest.mark.parametrize("name", ["lame_v4_without_xing.mp3", "aac.m4a", "vorbis_q8.ogg", "opus.webm"])
def test_the_length_and_the_samples_equal_those_of_the_ffmpeg_command(name, tmp_path):
    path = encode(tmp_path, name)
    whole, rate = load_audio(path)
    expected = without_aac_padding(whole, ffmpeg_decodes(path, channels=2), rate=rate)
    assert rate == ENCODINGS[name][0] and whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=LOSSY_TOLERANCE)


JOINED = {
    "two_headers.mp3": ("lame_128.mp3", "lame_v4.mp3"),
    "no_header_first.mp3": ("lame_without_xing.mp3", "lame_128.mp3"),
    "other_rate_and_channels.mp3": ("lame_128.mp3", "lame_16k_mono.mp3", "lame_v4.mp3"),
    "low_rate_first.mp3": ("lame_8k_mono.mp3", "lame_320_48k.mp3"),
    "same.aac": ("aac.aac", "aac.aac"),
    "joined.ac3": ("ac3.ac3", "ac3.ac3"),
    "joined.ts": ("aac.ts", "aac.ts"),
    "other_codec.ts": ("mp3.ts", "mp3.ts"),
    "same_headers.ogg": ("flac.ogg", "flac.ogg"),
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_files_are_decoded_to_their_end_at_the_rate_of_the_first(name, tmp_path):
    parts = [encode(tmp_path, part) for part in JOINED[name]]
    path = tmp_path / name
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with collect_warnings() as warnings:
        whole, rate = load_audio(path)
        channels = ENCODINGS[JOINED[name][0]][1]
        expected = ffmpeg_decodes(path, channels=channels)
        assert rate == ENCODINGS[JOINED[name][0]][0]
        # The command loses the last 2 ms of a part that it resamples, except at the end of the file.
        assert 0 <= whole.shape[1] - expected.shape[1] <= (100 if "other_rate" in name else 0)
        same = int(SECONDS * rate) if "other_rate" in name else whole.shape[1]
        np.testing.assert_allclose(whole[:, :same], expected[:, :same], atol=LOSSY_TOLERANCE)
        assert worst_difference(path, whole.numpy(), stretches=5, seed=0) == 0
    assert warnings == []


@pytest.mark.parametrize("share", [0.31, 0.97])
@pytest.mark.parametrize("name", ["aac.aac", "ac3.ac3", "eac3.eac3", "lame_without_xing.mp3", "layer_2.mp2"])
def test_a_raw_stream_cut_within_a_frame_gives_the_remaining_audio(name, share, tmp_path):
    data = encode(tmp_path, name).read_bytes()
    for path, part in ((tmp_path / "head", data[: int(len(data) * share)]), (tmp_path / "tail", data[1000:])):
        path.write_bytes(part)
        whole, _ = load_audio(path)
        np.testing.assert_allclose(whole, ffmpeg_decodes(path, channels=2), atol=LOSSY_TOLERANCE)


@pytest.mark.parametrize("name", ["pcm_24.wav", "flac.flac", "pcm.aiff"])
def test_a_file_cut_short_is_read_with_a_warning_and_refused_below_half(name, tmp_path):
    data = encode(tmp_path, name).read_bytes()
    with collect_warnings() as warnings:
        waveform, rate = load_audio(data[: int(0.7 * len(data))])
    assert len(warnings) == 1 and "cut short" in warnings[0] and "7.3 s" in warnings[0]
    assert waveform.shape[1] / rate == pytest.approx(0.7 * SECONDS, abs=0.2)
    with pytest.raises(
        MediaError, match=r"at least half of the 7\.3 s that its header states, got a file cut short after"
    ):
        load_audio(data[: int(0.3 * len(data))])


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_written_to_a_pipe_has_no_length_and_is_read_to_its_end(stated, tmp_path):
    path = encode(tmp_path, "pcm_float.wav")
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[at : at + 4] = stated.to_bytes(4, "little")
    with collect_warnings() as warnings:
        whole, _ = load_audio(bytes(data))
    assert warnings == [] and whole.shape[1] == int(SECONDS * 44_100)


@pytest.mark.parametrize("name", ["aac.m4a", "aac.ts", "lame_128.mp3", "alac.m4a", "flac.mkv"])
def test_damaged_bytes_lose_little_audio_and_give_a_warning(name, tmp_path):
    path = encode(tmp_path, name, seconds=20)
    expected, rate = load_audio(path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(3)
    for at in (0.4, 0.5, 0.6):
        start = int(at * len(data))
        data[start : start + 900] = rng.bytes(900)
    with collect_warnings() as warnings:
        whole, _ = load_audio(bytes(data))
    assert len(warnings) == 1 and "s of audio could not be decoded" in warnings[0]
    assert whole.shape[1] == pytest.approx(expected.shape[1], abs=1.5 * rate)
    start = 5 * rate  # before the damage nothing differs
    np.testing.assert_allclose(whole[:, :start], expected[:, :start], atol=LOSSY_TOLERANCE)


def test_audio_of_which_less_than_half_decodes_is_refused_with_the_share(tmp_path):
    path = encode(tmp_path, "aac.m4a")
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + 100
    end = data.find(b"moov", start)
    data[start : start + (end - start) * 3 // 4] = b"\xff" * ((end - start) * 3 // 4)
    with pytest.raises(MediaError, match=r"at least half of the requested audio undamaged, got \d+%"):
        load_audio(bytes(data))


def test_a_stream_that_starts_late_begins_at_its_first_sample(tmp_path):
    path = encode(tmp_path, "aac.m4a")
    shifted = tmp_path / "late.mkv"
    with av.open(path) as source, av.open(shifted, "w") as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.pts += 3 * 44_100
                packet.dts += 3 * 44_100
                packet.stream = copy
                target.mux(packet)
    whole, rate = load_audio(shifted)
    expected = without_aac_padding(whole, ffmpeg_decodes(shifted, channels=2), rate=rate, delay=AAC_DELAY)
    np.testing.assert_allclose(whole, expected, atol=LOSSY_TOLERANCE)


@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_the_audio_of_a_video_equals_that_of_a_sequential_decode(container, tmp_path):
    audio, path = encode(tmp_path, "pcm_24.wav"), tmp_path / f"video.{container}"
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=7"]
    subprocess.run([*command, "-i", str(audio), "-ar", "48000", str(path)], check=True)
    assert worst_difference(path, sequential(path), stretches=8, seed=0) <= LOSSY_TOLERANCE


TRIMMED = {  # container -> codecs
    "mov": ("pcm_s16be", "alac", "mp3"),
    "mp4": ("alac", "flac", "mp3", "libopus"),
    "m4a": ("alac",),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video with audio and a keyframe every two seconds."""
    folder = tmp_path_factory.mktemp("video")
    audio, path = encode(folder, "pcm_24.wav", seconds=5), folder / "video.mov"
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=32x32:r=25:d=5"]
    options = "-c:v mpeg4 -g 50 -bf 0 -ar 48000 -c:a pcm_s16le"
    subprocess.run([*command, "-i", str(audio), *options.split(), str(path)], check=True)
    return path


@pytest.mark.parametrize(("container", "codec"), [(box, codec) for box in TRIMMED for codec in TRIMMED[box]])
def test_audio_trimmed_without_encoding_again_equals_a_sequential_decode(container, codec, video, tmp_path):
    whole, video_options = tmp_path / f"whole.{container}", "-vn" if container == "m4a" else "-c:v copy"
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(video), *video_options.split(), "-c:a", codec]
    run = subprocess.run([*command, "-strict", "-2", str(whole)], capture_output=True, text=True, check=False)
    if "Unknown encoder" in run.stderr:
        pytest.skip(run.stderr.strip())
    for start in ("1.1", "3.37"):  # copied from the keyframe before it, with an edit list that starts here
        path = tmp_path / f"{start}.{container}"
        command = ["ffmpeg", "-y", "-loglevel", "error", "-ss", start, "-i", str(whole), "-c", "copy"]
        subprocess.run([*command, "-strict", "-2", str(path)], check=True)
        tolerance = LOSSY_TOLERANCE if codec in ("mp3", "libopus") else 0.0
        expected = sequential(path)
        with collect_warnings() as warnings:
            assert worst_difference(path, expected, stretches=4, seed=0) <= tolerance
            np.testing.assert_allclose(load_audio(path)[0], expected, rtol=0, atol=tolerance)
        assert warnings == []


@pytest.mark.parametrize("seconds", [4.0162, 0.3, 0.02])
@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [("alac", "caf", 48_000), ("alac", "caf", 8_000), ("flac", "mkv", 48_000), ("flac", "caf", 8_000)],
)
def test_the_last_packet_counts_its_decoded_samples_whatever_the_container_states(
    codec, container, rate, seconds, tmp_path
):
    source, path = tmp_path / "source.wav", tmp_path / f"audio.{container}"
    soundfile.write(source, music(seconds, rate=rate), rate)
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", str(source), "-c:a", codec, str(path)], check=True)
    expected = sequential(path)
    assert expected.shape[1] == int(seconds * rate)
    with collect_warnings() as warnings:
        assert worst_difference(path, expected, stretches=4, seed=0) == 0
        np.testing.assert_array_equal(load_audio(path)[0], expected)
    assert warnings == []


@pytest.mark.parametrize("name", ["vorbis.mkv", "vorbis.webm"])
def test_vorbis_whose_codebooks_are_damaged_is_refused(name, tmp_path):
    data = bytearray(encode(tmp_path, name, seconds=1).read_bytes())
    codebooks = data.index(b"\x05vorbis") + 7
    data[codebooks : codebooks + 40] = bytes(40)
    with pytest.raises(MediaError, match="no audio that can be decoded"):
        load_audio(bytes(data))
    path = tmp_path / f"damaged_{name}"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="no audio that can be decoded"):
        SequentialAudio(path, limits=DEFAULT_LIMITS).read(0, 0, 1)


def test_a_packet_that_states_a_hundred_million_samples_uses_little_memory(tmp_path):
    data = bytearray(encode(tmp_path, "wavpack.wv").read_bytes())
    block = data.index(b"wvpk", 100)
    data[block + 20 : block + 24] = (2**27).to_bytes(4, "little")  # samples of the second block
    tracemalloc.start()  # it includes NumPy's allocations
    with collect_warnings() as warnings:
        waveform, rate = load_audio(bytes(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 6 < waveform.shape[1] / rate < SECONDS and peak < 2**26
    assert len(warnings) == 1 and "cut short" in warnings[0]


def test_decoding_damaged_audio_writes_nothing_to_standard_error(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for name in ("lame_128.mp3", "mp3.wav", "vorbis_q1.ogg", "flac.flac", "aac.aac"):
        data = bytearray(encode(tmp_path, name, seconds=2).read_bytes())
        data[len(data) // 2 : len(data) // 2 + 300] = rng.bytes(300)
        with collect_warnings():
            load_audio(io.BytesIO(data))
    assert capfd.readouterr().err == ""
