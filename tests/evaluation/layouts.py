"""Writes small data sets in their published layouts, filled with scenes of the toy world."""

import csv
from pathlib import Path

import soundfile

from imagebind.toyworld import Scene, World, render_audio

SEED = 5  # of scenes that no model was trained on


def scenes(count: int) -> list[Scene]:
    world = World(seed=SEED, held_out=True)
    return [world.scene(number) for number in range(count)]


def write_csv(path: Path, rows: list, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, **options).writerows(rows)


def write_audio(path: Path, scene: Scene) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, *render_audio(scene), subtype="PCM_16")


def write_esc50(root: Path, count: int = 40) -> Path:
    """Write ESC-50, whose categories are shapes; five folds."""
    rows: list[list] = [["filename", "fold", "target", "category", "esc10", "src_file", "take"]]
    targets: dict[str, int] = {}
    for number, scene in enumerate(scenes(count)):
        shape = scene.shape.value
        name = f"{number % 5 + 1}-{number}-A-{number}.wav"
        write_audio(root / "audio" / name, scene)
        rows.append(
            [name, number % 5 + 1, targets.setdefault(shape, len(targets)), shape, "False", number, "A"]
        )
    write_csv(root / "meta" / "esc50.csv", rows)
    return root
