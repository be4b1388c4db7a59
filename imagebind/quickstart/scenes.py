"""Which scenes are shown, and the folder that their files go to."""

from collections.abc import Callable, Sequence
from pathlib import Path

from imagebind.toyworld import CaptionStyle, Scene, World, write_scene

POOL = 1000  # scenes to choose from: each of the 40 combinations of shape and motion is among them many times

# Short captions: what a thing is, its colour and, of a clip, its motion.
STYLE = CaptionStyle(shape=1, colour=1, material=0, motion=1, ground=0, size=0, temperature=0, distance=0)

ABOUT = "ABOUT.txt"  # written first: a folder without it is not ours
HEATMAP = "similarity.png"
# Of a scene, as `write_scene` names them.
STILLS = ("image.png", "depth.png", "thermal.png", "image.txt")
CLIPS = ("video.mp4", "audio.wav", "imu.csv", "video.txt")
ABOUT_TEXT = """Written by `imagebind quickstart`. Each folder is a scene of a toy world, in six senses:
image.png and video.mp4, audio.wav, depth.png (16-bit millimetres), thermal.png (16-bit, 0.01 K), imu.csv,
and in words image.txt and video.txt. similarity.png is a heat map of cosines between them.
All of it can be deleted; the command writes it anew.
"""


def choose_scenes(seed: int) -> tuple[Scene, ...]:
    """Seven held-out scenes, each of another shape, with every motion among them.

    The picture of the first and the sound of the second are what `add` adds. Of the rest the third has that
    colour and that motion, the fourth the colour only, the fifth the motion only, and the others neither. The
    last two move as nothing else here does.
    """
    world = World(seed=seed, held_out=True)
    pool = [world.scene(number) for number in range(POOL)]
    chosen = [pool[0]]

    def new(scene: Scene, *attributes: str) -> bool:
        return all(
            scene.attributes[name] != other.attributes[name]
            for other in chosen
            for name in ("shape", *attributes)
        )

    chosen.append(_first(pool, lambda scene: new(scene, "colour", "motion")))
    colour, motion = chosen[0].colour, chosen[1].motion
    chosen.append(_first(pool, lambda scene: scene.colour == colour and scene.motion == motion))
    chosen.append(_first(pool, lambda scene: scene.colour == colour and new(scene, "motion")))
    chosen.append(_first(pool, lambda scene: scene.motion == motion and new(scene, "colour")))
    for _ in range(2):  # held out, with the shapes that are left, there may be none of a new colour
        chosen.append(
            _first(
                pool,
                lambda scene: new(scene, "colour", "motion"),
                lambda scene: scene.colour != colour and new(scene, "motion"),
            )
        )
    return tuple(chosen)


def _first(pool: Sequence[Scene], *wanted: Callable[[Scene], bool]) -> Scene:
    """The first scene that is as wanted; the later conditions count only where no scene meets the earlier."""
    return next(scene for condition in wanted for scene in pool if condition(scene))


def places_of(scenes: Sequence[Scene], **attributes: str) -> tuple[int, ...]:
    """Where the scenes are that have these attributes."""
    return tuple(
        place
        for place, scene in enumerate(scenes)
        if all(scene.attributes[name] == word for name, word in attributes.items())
    )


def write_scenes(scenes: Sequence[Scene], folder: Path) -> tuple[dict[str, Path], ...]:
    """Write each scene into a folder of its own; returns each one's files by kind.

    Raises:
        FileExistsError: the folder holds something that this does not write.
    """
    names = [f"scene-{number}" for number in range(1, len(scenes) + 1)]
    check_folder(folder, names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).write_text(ABOUT_TEXT, encoding="utf-8")
    return tuple(
        write_scene(scene, folder / name, style=STYLE) for scene, name in zip(scenes, names, strict=True)
    )


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder with anything that we have not written. Hidden files are let be beside ours.

    Args:
        names: of the scenes' folders.

    Raises:
        FileExistsError: names what is there.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: is a file; expected a new or empty folder")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    if ABOUT in found:
        ours = {ABOUT, HEATMAP, *names, *(f"{name}/{file}" for name in names for file in STILLS + CLIPS)}
        # Such as .DS_Store, which comes by looking at the folder.
        found = [name for name in found if name not in ours and not Path(name).name.startswith(".")]
    if found:
        raise FileExistsError(
            f"{folder}: holds {found[0]!r}, which `imagebind quickstart` did not write; "
            "expected a new or empty folder, or one that it wrote before"
        )
