"""Writes small data sets of YouTube clips in their published layouts, with scenes of the toy world."""

import subprocess
from pathlib import Path

from imagebind.toyworld import Scene, write_scene
from tests.evaluation.layouts import scenes, write_audio, write_csv

MIDS = {  # by shape or motion, in the published form
    "disc": "/m/09x0r",
    "ring": "/m/05zppz",
    "triangle": "/m/02zsn",
    "square": "/m/0ytgt",
    "star": "/m/01h8n0",
    "cross": "/m/02qldy",
    "crescent": "/m/0261r1",
    "bar": "/m/0brhx",
    "resting": "/m/07p6fty",
    "sliding": "/m/07q4ntr",
    "bouncing": "/m/07rwj3x",
    "approaching": "/m/07sr1lc",
    "spinning": "/m/04gy_2",
}


def ytid(number: int) -> str:
    """An id of 11 letters; some start with a hyphen, as YouTube's do."""
    return f"{'-_a0Z'[number % 5]}{number:03}xY-zQ_w"


def write_clip(path: Path, scene: Scene, scratch: Path, *, sound: bool = True) -> None:
    """Write a scene's video, with its audio as the second stream."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = write_scene(scene, scratch)
    streams = ["-i", files["audio"], "-c:a", "aac", "-shortest"] if sound else []
    command = ["ffmpeg", "-v", "error", "-y", "-i", files["video"], *streams[:2], "-c:v", "copy"]
    subprocess.run([*command, *streams[2:], path], check=True)


def write_audioset(root: Path, count: int = 24) -> Path:
    """AudioSet, whose labels are each scene's shape and motion."""
    write_csv(
        root / "class_labels_indices.csv",
        [["index", "mid", "display_name"], *([n, MIDS[name], name] for n, name in enumerate(MIDS))],
    )
    lines = [
        "# Segments csv created Sun Mar  5 10:54:25 2017",
        f"# num_ytids={count}, num_segs={count}, num_unique_labels=13, num_positive_labels={2 * count}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for number, scene in enumerate(scenes(count)):
        labels = ",".join(MIDS[each.value] for each in (scene.shape, scene.motion))
        lines.append(f'{ytid(number)}, {30 * number}.000, {30 * number + 10}.000, "{labels}"')
        name = ytid(number) if number % 2 else f"{ytid(number)}_{30 * number:g}_{30 * number + 10:g}"
        write_audio(root / "eval" / f"{name}.wav", scene)
    (root / "eval_segments.csv").write_text("\n".join(lines) + "\n")
    return root
