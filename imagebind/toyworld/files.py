"""Writes scenes as media files with a manifest, and reads the manifest."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from imagebind.batching import begin_worker
from imagebind.errors import MediaError
from imagebind.toyworld.audio import render_audio
from imagebind.toyworld.captions import MIXED, CaptionStyle, caption
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.render import FRAME_RATE, render_image, render_video
from imagebind.toyworld.scene import Scene, World
from imagebind.toyworld.sensors import render_depth, render_thermal
from imagebind.toyworld.view import TEXT_STREAM

MANIFEST = "manifest.jsonl"  # one scene per line: its index, attributes, captions and files
IMU_HEADER = (  # with units, which cannot be inferred from the small accelerations of an object in free fall
    "timestamp [s],accl_x [m/s2],accl_y [m/s2],accl_z [m/s2],gyro_x [rad/s],gyro_y [rad/s],gyro_z [rad/s]"
)
PNG_COMPRESSION = 1  # noise hardly compresses: higher levels take ten times as long to save a tenth
# With its macroblock tree, x264 sometimes gave different bytes for the same frames.
VIDEO_OPTIONS = {"preset": "veryfast", "crf": "25", "threads": "1", "x264-params": "mbtree=0"}
SCENES_PER_TASK = 16  # for worker processes


def write_scene(
    scene: Scene, folder: str | os.PathLike[str], *, style: CaptionStyle = MIXED
) -> dict[str, Path]:
    """Write all media files and captions of a scene into a folder; return the path of each by its name.

    image.png, video.mp4 (2 s), depth.png (16-bit millimetres), thermal.png (16-bit counts of 0.01 K),
    audio.wav (2 s), imu.csv, image.txt and video.txt (the captions, named "image_caption" and
    "video_caption").
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("image.png", "video.mp4", "depth.png", "thermal.png", "audio.wav", "imu.csv")
    paths = {Path(name).stem: folder / name for name in names}
    _write_png(paths["image"], render_image(scene))
    _write_video(paths["video"], render_video(scene))
    _write_png(paths["depth"], render_depth(scene))
    _write_png(paths["thermal"], render_thermal(scene))
    waveform, rate = render_audio(scene)
    soundfile.write(paths["audio"], waveform, rate, subtype="PCM_16")
    write_imu(paths["imu"], *render_imu(scene))
    for kind, text in captions_of(scene, style=style).items():
        paths[f"{kind}_caption"] = folder / f"{kind}.txt"
        paths[f"{kind}_caption"].write_text(text + "\n", encoding="utf-8")
    return paths


def captions_of(scene: Scene, *, style: CaptionStyle = MIXED) -> dict[str, str]:
    """Return the captions that `write_scene` writes, of the image and of the video."""
    return {
        "image": caption(scene, scene.rng(TEXT_STREAM, 0), still=True, style=style),
        "video": caption(scene, scene.rng(TEXT_STREAM, 1), still=False, style=style),
    }


def write_world(
    folder: str | os.PathLike[str],
    count: int,
    *,
    seed: int,
    held_out: bool | None = False,
    style: CaptionStyle = MIXED,
    workers: int = 1,
) -> Path:
    """Write scenes 0 to count - 1 of a world, each into its own folder; return the path of the manifest.

    Each scene depends only on seed and index: a larger count adds scenes to those of a smaller one, and the
    number of worker processes changes nothing.

    Args:
        held_out: True for only the held-out combinations, False (default) for only the others, None for all.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write = partial(_write_numbered, World(seed=seed, held_out=held_out), folder, style)
    if workers > 1:
        with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
            lines = list(pool.map(write, range(count), chunksize=SCENES_PER_TASK))
    else:
        lines = [write(number) for number in range(count)]
    manifest = folder / MANIFEST
    manifest.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return manifest


def read_manifest(manifest: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the entries that `write_world` wrote: "index", "attributes", "captions", "scene" and "files".

    The paths in "files" include the manifest's folder.

    Raises:
        MediaError: a line is not a valid entry; the message names the line.
        OSError: the manifest cannot be read.
    """
    manifest = Path(manifest)
    for number, line in enumerate(manifest.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
            entry["files"] = {kind: manifest.parent / name for kind, name in entry["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MediaError(
                f"{manifest}, line {number}",
                got=f"another line ({error!r})",
                expected="an entry with its files",
            ) from error
        yield entry


def _write_numbered(world: World, folder: Path, style: CaptionStyle, number: int) -> str:
    """Write one scene; return its line of the manifest."""
    scene = world.scene(number)
    paths = write_scene(scene, folder / f"{number:06}", style=style)
    entry = {
        "index": number,
        "attributes": scene.attributes,
        "captions": captions_of(scene, style=style),
        "files": {kind: path.relative_to(folder).as_posix() for kind, path in paths.items()},
        "scene": asdict(scene),
    }
    return json.dumps(entry)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, compress_level=PNG_COMPRESSION)


def write_imu(path: Path, seconds: np.ndarray, samples: np.ndarray) -> None:
    """Write an IMU table: timestamps (t,) in s, samples (t, 6) in m/s² and rad/s."""
    rows = (
        f"{time:.6f}," + ",".join(f"{value:.4f}" for value in row)
        for time, row in zip(seconds.tolist(), samples.tolist(), strict=True)
    )
    path.write_text("\n".join([IMU_HEADER, *rows]) + "\n", encoding="utf-8")


def _write_video(path: Path, frames: np.ndarray) -> None:
    """Write frames (t, h, w, 3) uint8 as H.264 in yuv420p, which every player supports."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=VIDEO_OPTIONS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
