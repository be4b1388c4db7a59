"""Chooses the scenes of the quick start, and writes them to a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from imagebind.toyworld import CaptionStyle, Scene, World, write_scene

POOL_SIZE = 1000  # scenes to choose from, with each of the 40 combinations of shape and motion many times

# Short captions: shape, colour and, in captions of videos, motion.
CAPTION_STYLE = CaptionStyle(
    shape=1, colour=1, material=0, motion=1, ground=0, size=0, temperature=0, distance=0
)

ABOUT_NAME = "ABOUT.txt"  # written first; marks a folder as written by quickstart
HEATMAP_NAME = "similarity.png"
# Names of a scene's files, as `write_scene` writes them.
IMAGE_FILES = ("image.png", "depth.png", "thermal.png", "image.txt")
CLIP_FILES = ("video.mp4", "audio.wav", "imu.csv", "video.txt")
ABOUT_TEXT = """Written by `imagebind quickstart`. Each folder is a scene of a toy world, in six modalities:
image.png and video.mp4, audio.wav, depth.png (16-bit millimetres), thermal.png (16-bit, 0.01 K), imu.csv,
and the captions image.txt and video.txt. similarity.png is a heat map of cosines between them.
All files can be deleted; the command writes them again.
"""


def choose_scenes(seed: int) -> tuple[Scene, ...]:
    """Return seven held-out scenes with different shapes, and every motion among them.

    `add` adds the image of the first and the audio of the second. The third has that colour and that motion,
    the fourth only the colour, the fifth only the motion, and the others neither. The motions of the last two
    occur in no other scene.
    """
    world = World(seed=seed, held_out=True)
    pool = [world.scene(number) for number in range(POOL_SIZE)]
    chosen = [pool[0]]

    def is_new(scene: Scene, *attributes: str) -> bool:
        return all(
            scene.attributes[name] != other.attributes[name]
            for other in chosen
            for name in ("shape", *attributes)
        )

    chosen.append(_first(pool, lambda scene: is_new(scene, "colour", "motion")))
    colour, motion = chosen[0].colour, chosen[1].motion
    chosen.append(_first(pool, lambda scene: scene.colour == colour and scene.motion == motion))
    chosen.append(_first(pool, lambda scene: scene.colour == colour and is_new(scene, "motion")))
    chosen.append(_first(pool, lambda scene: scene.motion == motion and is_new(scene, "colour")))
    for _ in range(2):  # there may be no held-out scene of a new colour with the remaining shapes
        chosen.append(
            _first(
                pool,
                lambda scene: is_new(scene, "colour", "motion"),
                lambda scene: scene.colour != colour and is_new(scene, "motion"),
            )
        )
    return tuple(chosen)


def _first(pool: Sequence[Scene], *conditions: Callable[[Scene], bool]) -> Scene:
    """Return the first scene that meets a condition; later conditions are used if none meets the earlier."""
    return next(scene for condition in conditions for scene in pool if condition(scene))


def scene_indices(scenes: Sequence[Scene], **attributes: str) -> tuple[int, ...]:
    """Return the indices of the scenes with these attributes."""
    return tuple(
        index
        for index, scene in enumerate(scenes)
        if all(scene.attributes[name] == word for name, word in attributes.items())
    )


def write_scenes(scenes: Sequence[Scene], folder: Path) -> tuple[dict[str, Path], ...]:
    """Write each scene into its own folder; return the files of each by name.

    Raises:
        FileExistsError: see `check_folder`.
    """
    names = [f"scene-{number}" for number in range(1, len(scenes) + 1)]
    check_folder(folder, names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT_NAME).write_text(ABOUT_TEXT, encoding="utf-8")
    return tuple(
        write_scene(scene, folder / name, style=CAPTION_STYLE)
        for scene, name in zip(scenes, names, strict=True)
    )


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder with files that quickstart did not write, except for hidden files beside its own.

    Args:
        names: names of the scenes' folders.

    Raises:
        FileExistsError: the folder is a file, or has other files; names one.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: expected a new or empty folder, got a file")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    if ABOUT_NAME in found:
        ours = {
            ABOUT_NAME,
            HEATMAP_NAME,
            *names,
            *(f"{name}/{file}" for name in names for file in IMAGE_FILES + CLIP_FILES),
        }
        # Hidden files, such as the .DS_Store of macOS, are ignored.
        found = [name for name in found if name not in ours and not Path(name).name.startswith(".")]
    if found:
        raise FileExistsError(
            f"{folder}: expected a new or empty folder, or one that `imagebind quickstart` wrote, "
            f"got one with {found[0]!r}"
        )
