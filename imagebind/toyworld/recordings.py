"""Writes long recordings: a video with audio that shows one scene after another, and an IMU file."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np

from imagebind.batching import begin_worker
from imagebind.toyworld.audio import AUDIO_RATE, render_audio
from imagebind.toyworld.files import VIDEO_OPTIONS, write_imu
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.render import FRAME_RATE, render_video
from imagebind.toyworld.scene import CLIP_SECONDS, Motion, Scene, Shape, sample_scene
from imagebind.toyworld.view import PIXELS

VIDEO_NAME, IMU_NAME, SHOTS_NAME = "film.mp4", "imu.csv", "shots.json"
SHOT_SECONDS = (2, 6)
AUDIO_BLOCK = 1024  # samples per AAC frame
ABOUT_VERSION = 1  # recordings of other versions are rewritten


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A scene that is shown from `start` to `end`, in seconds; its two seconds are repeated as needed."""

    scene: Scene
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A video with audio, an IMU file whose first sample is at 0 s of the video, and their shots."""

    video: Path
    imu: Path
    shots: tuple[Shot, ...]


def sample_shots(rng: np.random.Generator, count: int, *, held_out: bool | None = None) -> tuple[Shot, ...]:
    """Sample shots of 2 to 6 s; no two have the same shape and motion, so a query can identify each.

    Args:
        held_out: True for only the held-out combinations, False for only the others, None (default) for all.

    Raises:
        ValueError: `count` is less than 1, or more than the combinations of shape and motion.
    """
    most = len(Shape) * len(Motion)
    if not 1 <= count <= most:
        raise ValueError(f"shots: expected 1 to {most}, one for each shape and motion, got {count}")
    scenes: dict[tuple[Shape, Motion], Scene] = {}
    while len(scenes) < count:
        scene = sample_scene(rng, held_out=held_out)
        scenes.setdefault((scene.shape, scene.motion), scene)
    fewest_frames, most_frames = (seconds * FRAME_RATE for seconds in SHOT_SECONDS)
    ends = np.cumsum(rng.integers(fewest_frames, most_frames, count, endpoint=True)) / FRAME_RATE
    starts = [0.0, *ends[:-1].tolist()]
    return tuple(
        Shot(scene=scene, start=start, end=end)
        for scene, start, end in zip(scenes.values(), starts, ends.tolist(), strict=True)
    )


def write_recording(folder: str | os.PathLike[str], shots: Sequence[Shot]) -> Recording:
    """Write shots one after another to film.mp4 (H.264 and AAC) and imu.csv.

    Each shot begins with a keyframe. The IMU file starts with the video.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recording = _recording(folder, shots)
    _write_video(recording.video, shots)
    seconds, samples = zip(*map(_imu_of, shots), strict=True)
    write_imu(recording.imu, np.concatenate(seconds), np.concatenate(samples))
    return recording


def write_recordings(
    folder: str | os.PathLike[str],
    count: int,
    *,
    shots: int,
    seed: int,
    held_out: bool | None = None,
    workers: int = 1,
) -> list[Recording]:
    """Return recordings 0 to `count` - 1; write those that the folder lacks.

    Args:
        shots: number of shots per recording.
        seed: seed of the shots.
        held_out: as in `sample_shots`.
        workers: number of rendering processes, which does not change the result.
    """
    folders = [Path(folder) / f"{number:03}" for number in range(count)]
    sampled = [
        sample_shots(np.random.default_rng([seed, number]), shots, held_out=held_out)
        for number in range(count)
    ]
    missing = [each for each in zip(folders, sampled, strict=True) if not _is_written(*each)]
    if workers > 1 and len(missing) > 1:
        with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
            list(pool.map(_write, *zip(*missing, strict=True)))
    else:
        for each in missing:
            _write(*each)
    return [_recording(*each) for each in zip(folders, sampled, strict=True)]


def _recording(folder: Path, shots: Sequence[Shot]) -> Recording:
    return Recording(video=folder / VIDEO_NAME, imu=folder / IMU_NAME, shots=tuple(shots))


def _write(folder: Path, shots: Sequence[Shot]) -> None:
    write_recording(folder, shots)
    (folder / SHOTS_NAME).write_text(_about(shots), encoding="utf-8")  # last: marks it as complete


def _is_written(folder: Path, shots: Sequence[Shot]) -> bool:
    path = folder / SHOTS_NAME
    return path.is_file() and path.read_text(encoding="utf-8") == _about(shots)


def _about(shots: Sequence[Shot]) -> str:
    return json.dumps({"version": ABOUT_VERSION, "shots": [asdict(shot) for shot in shots]})


def _write_video(path: Path, shots: Sequence[Shot]) -> None:
    with av.open(path, "w") as container:
        options = {**VIDEO_OPTIONS, "forced-idr": "1"}
        video = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        video.width, video.height, video.pix_fmt = PIXELS, PIXELS, "yuv420p"
        written = 0  # samples
        rest = np.empty(0, dtype=np.float32)  # samples that do not fill a block yet
        for shot in shots:
            frames = render_video(shot.scene)  # (t, h, w, 3)
            for number in range(round((shot.end - shot.start) * FRAME_RATE)):
                frame = av.VideoFrame.from_ndarray(frames[number % len(frames)], format="rgb24")
                if number == 0:
                    frame.pict_type = av.video.frame.PictureType.I
                container.mux(video.encode(frame))
            waveform, _ = render_audio(shot.scene)
            rest = np.concatenate([rest, np.resize(waveform, round((shot.end - shot.start) * AUDIO_RATE))])
            whole = len(rest) // AUDIO_BLOCK * AUDIO_BLOCK if shot is not shots[-1] else len(rest)
            for first in range(0, whole, AUDIO_BLOCK):
                block = rest[first : min(first + AUDIO_BLOCK, whole)]
                samples = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
                samples.sample_rate, samples.pts = AUDIO_RATE, written
                container.mux(audio.encode(samples))
                written += len(block)
            rest = rest[whole:]
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _imu_of(shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """Return the IMU of a shot: timestamps (t,) in seconds of the recording, samples (t, 6)."""
    seconds, samples = render_imu(shot.scene)
    seconds = seconds - seconds[0]  # below 2 s
    repeats = int(np.ceil((shot.end - shot.start) / CLIP_SECONDS))
    times = np.concatenate([seconds + CLIP_SECONDS * number for number in range(repeats)])
    kept = times < shot.end - shot.start
    return shot.start + times[kept], np.tile(samples, (repeats, 1))[kept]
