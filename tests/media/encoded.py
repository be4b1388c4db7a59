"""Audio of many encoders, written by the ffmpeg command and decoded by it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

SECONDS = 7.3
# File name -> (rate, channels, options of ffmpeg).
ENCODINGS: dict[str, tuple[int, int, str]] = {
    "lame_128.mp3": (44_100, 2, "-b:a 128k"),
    "lame_v4.mp3": (44_100, 2, "-q:a 4"),
    "lame_v4_without_xing.mp3": (44_100, 2, "-q:a 4 -write_xing 0"),
    "lame_without_xing.mp3": (44_100, 2, "-b:a 128k -write_xing 0"),
    "lame_320_48k.mp3": (48_000, 2, "-b:a 320k"),
    "lame_16k_mono.mp3": (16_000, 1, "-b:a 24k"),
    "lame_8k_mono.mp3": (8_000, 1, "-b:a 8k"),
    "shine.mp3": (44_100, 2, "-c:a libshine"),
    "twolame.mp2": (48_000, 2, "-c:a libtwolame"),
    "layer_2.mp2": (44_100, 2, "-c:a mp2"),
    "mp3.wav": (44_100, 2, "-c:a libmp3lame"),
    "mp3.mkv": (44_100, 2, "-c:a libmp3lame"),
    "mp3.mp4": (44_100, 2, "-c:a libmp3lame"),
    "mp3.avi": (44_100, 2, "-c:a libmp3lame"),
    "mp3.ts": (44_100, 2, "-c:a libmp3lame"),
    "mp3.flv": (44_100, 2, "-c:a libmp3lame"),
    "mp2.mpg": (44_100, 2, "-c:a mp2"),
    "vorbis_q1.ogg": (44_100, 2, "-c:a libvorbis -q:a 1"),
    "vorbis_q8.ogg": (48_000, 2, "-c:a libvorbis -q:a 8"),
    "vorbis_q9.ogg": (44_100, 2, "-c:a libvorbis -q:a 9"),
    "vorbis_16k.ogg": (16_000, 1, "-c:a libvorbis"),
    "vorbis_native.ogg": (44_100, 2, "-c:a vorbis -strict -2"),
    "vorbis.webm": (44_100, 2, "-c:a libvorbis"),
    "vorbis.mkv": (22_050, 1, "-c:a libvorbis"),
    "opus.opus": (48_000, 2, "-c:a libopus"),
    "opus_speech.opus": (16_000, 1, "-c:a libopus -b:a 12k -application voip"),
    "opus_short.opus": (48_000, 2, "-c:a libopus -frame_duration 2.5"),
    "opus_long.opus": (48_000, 2, "-c:a libopus -frame_duration 60"),
    "opus.webm": (48_000, 2, "-c:a libopus"),
    "opus.mp4": (48_000, 2, "-c:a libopus"),
    "opus.ts": (48_000, 2, "-c:a libopus"),
    "aac.m4a": (44_100, 2, "-c:a aac"),
    "aac.aac": (44_100, 2, "-c:a aac"),
    "aac.mkv": (48_000, 1, "-c:a aac"),
    "aac.ts": (44_100, 2, "-c:a aac"),
    "aac.flv": (44_100, 2, "-c:a aac"),
    "aac.3gp": (16_000, 1, "-c:a aac"),
    "alac.m4a": (44_100, 2, "-c:a alac"),
    "flac.flac": (44_100, 2, "-c:a flac"),
    "flac_24.flac": (48_000, 2, "-c:a flac -sample_fmt s32"),
    "flac.ogg": (44_100, 2, "-c:a flac"),
    "flac.mkv": (44_100, 2, "-c:a flac"),
    "ac3.ac3": (48_000, 2, "-c:a ac3"),
    "ac3.mp4": (48_000, 2, "-c:a ac3"),
    "eac3.eac3": (48_000, 2, "-c:a eac3"),
    "dts.dts": (48_000, 2, "-c:a dca -strict -2"),
    "truehd.thd": (48_000, 2, "-c:a truehd -strict -2"),
    "wma2.wma": (44_100, 2, "-c:a wmav2"),
    "wma1.asf": (44_100, 2, "-c:a wmav1"),
    "wavpack.wv": (44_100, 2, "-c:a wavpack"),
    "tta.tta": (44_100, 2, "-c:a tta"),
    "speex.ogg": (16_000, 1, "-c:a libspeex"),
    "adpcm_ms.wav": (44_100, 2, "-c:a adpcm_ms"),
    "adpcm_qt.mov": (44_100, 2, "-c:a adpcm_ima_qt"),
    "g722.wav": (16_000, 1, "-c:a g722"),
    "gsm.wav": (8_000, 1, "-c:a libgsm_ms"),
    "pcm_8.wav": (44_100, 1, "-c:a pcm_u8"),
    "pcm_24.wav": (96_000, 2, "-c:a pcm_s24le"),
    "pcm_float.wav": (44_100, 2, "-c:a pcm_f32le"),
    "pcm_double.wav": (44_100, 2, "-c:a pcm_f64le"),
    "mulaw.wav": (8_000, 1, "-c:a pcm_mulaw"),
    "alaw.au": (8_000, 1, "-c:a pcm_alaw"),
    "pcm.aiff": (44_100, 2, "-c:a pcm_s16be"),
    "pcm.caf": (44_100, 2, "-c:a pcm_s24be"),
    "pcm.w64": (44_100, 2, "-c:a pcm_s16le"),
    "pcm.mov": (44_100, 2, "-c:a pcm_s16le"),
    "pcm.mkv": (44_100, 2, "-c:a pcm_s24le"),
    "pcm.avi": (44_100, 2, "-c:a pcm_s16le"),
    "pcm.vob": (48_000, 2, "-c:a pcm_s16be -f vob"),
}
LOSSLESS = ("pcm", "flac", "alac", "wavpack", "tta", "mulaw", "alaw", "truehd")


def music(seconds: float, *, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return decaying tones over weak noise: (n, channels) float32."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * rate)) / rate
    wave = 0.01 * rng.standard_normal(len(times))
    for start in rng.uniform(0, seconds, int(4 * seconds)):
        since = np.clip(times - start, 0, None)
        tone = np.exp(-since * rng.uniform(5, 30)) * np.sin(2 * np.pi * rng.uniform(100, 2000) * since)
        wave += np.where(times >= start, 0.2 * tone, 0)
    wave /= np.abs(wave).max() * 1.25
    return np.stack([np.roll(wave, 37 * channel) for channel in range(channels)], axis=1).astype(np.float32)


def encode(folder: Path, name: str, *, seconds: float = SECONDS, seed: int = 0) -> Path:
    """Write one of `ENCODINGS`; skip the test if this ffmpeg lacks the encoder."""
    rate, channels, options = ENCODINGS[name]
    source = folder / f"{name}.source.wav"
    soundfile.write(source, music(seconds, rate=rate, channels=channels, seed=seed), rate, subtype="FLOAT")
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(source), *options.split(), str(folder / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown encoder" in run.stderr:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr
    return folder / name


def ffmpeg_decodes(path: Path, *, channels: int, options: str = "") -> np.ndarray:
    """Decode the first audio stream by the ffmpeg command: (channels, n) float32."""
    command = ["ffmpeg", "-loglevel", "quiet", "-i", str(path), "-map", "0:a:0", *options.split()]
    raw = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, channels).T
