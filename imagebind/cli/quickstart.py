"""`imagebind quickstart`: a first try, offline, with the small model in the package."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from imagebind.quickstart import Quickstart, Search, Similarities

PLURALS = {
    "image": "images",
    "video": "videos",
    "audio": "audio",
    "depth": "depth images",
    "thermal": "thermal images",
    "imu": "IMU recordings",
    "image_caption": "texts",
    "video_caption": "texts",
}
SHOWN_HITS = 3  # per search
COMPARED_SCENES = 2  # in the command for the released weights


def quickstart(
    folder: Annotated[
        Path, typer.Argument(help="Output folder: a new one, or one of an earlier quickstart.")
    ] = Path("imagebind-quickstart"),
) -> None:
    """Try six modalities in one space: write small files, embed and compare them. Offline, in seconds.

    It uses a small model, which was trained only on a toy world of coloured shapes.

    ```
    imagebind quickstart
    imagebind quickstart somewhere/else
    ```
    """
    from rich.console import Console

    with Console(stderr=True).status("writing seven scenes and embedding them"):
        from imagebind.quickstart import quickstart as run

        result = run(folder)
    _print(result)


def _print(result: "Quickstart") -> None:
    from rich.console import Console

    console = Console(highlight=False)

    def say(text: str = "", *, style: str | None = None, whole: bool = False) -> None:
        console.print(text, style=style, markup=False, soft_wrap=whole)  # whole: in one line, for copying

    say(
        f"{len(result.scenes)} scenes of a toy world, in combinations of attributes not seen in training. "
        "Each has an image, a video, audio, depth, thermal, IMU and text. They are in"
    )
    say(f"{result.folder}", whole=True)
    say()
    console.print(_scenes(result))
    for table in result.tables:
        say()
        say(_heading(table), style="bold")
        console.print(_similarities(result, table))
        say(_summary(table))
    for heading, search in (_retrieval(result), _arithmetic(result)):
        say()
        say(heading, style="bold")
        console.print(_answers(result, search))
        say(_verdict(search), style="green" if search.is_correct else "red")
    say()
    say("A heat map of texts against images, audio and depth is in")
    say(f"{result.heatmap}", whole=True)
    say()
    say(
        "This small model was trained only on a toy world of coloured shapes. For real images and audio, use "
        "Meta's released weights: CC BY-NC-SA 4.0, not for commercial use, downloaded once (4.8 GB). To "
        "compare the same files with them:"
    )
    say()
    say(released_line(result), whole=True)


def released_line(result: "Quickstart") -> str:
    """Return the command that compares the files of the first scenes with the released weights."""
    scenes = range(COMPARED_SCENES)
    options = [("--text", result.caption(scene, "image_caption")) for scene in scenes]
    options += [
        (f"--{kind}", str(result.files[scene][kind])) for kind in ("image", "audio") for scene in scenes
    ]
    return " ".join(["imagebind compare", *(f"{name} {shlex.quote(value)}" for name, value in options)])


def _scenes(result: "Quickstart") -> "Table":
    table = _table("scene", "colour", "shape", "motion", "folder")
    for position, scene in enumerate(result.scenes):
        table.add_row(
            str(position + 1),
            scene.colour.value,
            scene.shape.value,
            scene.motion.value,
            result.files[position]["image"].parent.name,
        )
    return table


def _heading(table: "Similarities") -> str:
    pair = f"{PLURALS[table.rows].capitalize()} against {PLURALS[table.columns]}"
    return f"{pair}: {_training(table.trained_together)}"


def _training(together: bool) -> str:
    return "trained together" if together else "never trained together"


def _similarities(result: "Quickstart", found: "Similarities") -> "Table":
    from rich.text import Text

    positions = range(len(result.scenes))
    table = _table("cosine")
    table.padding = (0, 1, 0, 0)
    for position in positions:
        table.add_column(f"{position + 1} ", justify="right", no_wrap=True)  # aligned with the stars below
    for position, row in enumerate(found.cosines):
        best = row.argmax()
        cells = [
            Text(f"{cosine:.2f}*", style="bold") if other == best else Text(f"{cosine:.2f} ")
            for other, cosine in enumerate(row)
        ]
        table.add_row(Text(f"{position + 1} {result.caption(position, found.rows)}"), *cells)
    return table


def _summary(table: "Similarities") -> str:
    return (
        f"* marks the highest cosine of a row. It belongs to the same scene, on the diagonal, in "
        f"{table.own_nearest} of {len(table.cosines)} rows."
    )


def _retrieval(result: "Quickstart") -> tuple[str, "Search"]:
    search = result.retrieval
    position = search.query[0][1]
    heading = (
        f"A search across modalities {_training(search.trained_together)}: audio by the IMU recording of "
        f"scene {position + 1} ({result.scenes[position].motion.value}). Expected: the same motion"
    )
    return heading, search


def _arithmetic(result: "Quickstart") -> tuple[str, "Search"]:
    search = result.arithmetic
    (_, image), (_, audio) = search.query
    colour, motion = result.scenes[image].colour.value, result.scenes[audio].motion.value
    heading = (
        f"Sum of two modalities: videos of other scenes by the image of scene {image + 1} ({colour}) + the "
        f"audio of scene {audio + 1} ({motion}). Expected: {colour} and {motion}"
    )
    return heading, search


def _answers(result: "Quickstart", search: "Search") -> "Table":
    table = _table("", "cosine", "scene", "colour", "shape", "motion")
    answers = list(zip(search.ranking, search.cosines, strict=True))[:SHOWN_HITS]
    for rank, (position, cosine) in enumerate(answers, start=1):
        scene = result.scenes[position]
        attributes = (scene.colour.value, scene.shape.value, scene.motion.value)
        table.add_row(f"{rank}.", f"{cosine:.2f}", str(position + 1), *attributes)
    return table


def _verdict(search: "Search") -> str:
    if search.is_correct:
        return "As expected."
    return f"Not as expected: the expected item has rank {search.rank} of {len(search.ranking)}."


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
