"""`imagebind quickstart`: the first minute, offline, with the small model that comes along."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from imagebind.quickstart import Quickstart, Search, Similarities

PLURALS = {
    "image": "pictures",
    "video": "videos",
    "audio": "sounds",
    "depth": "depth pictures",
    "thermal": "thermal pictures",
    "imu": "motion recordings",
    "image_caption": "words",
    "video_caption": "words",
}
SHOWN = 3  # answers of a search
COMPARED = 2  # scenes in the line for the released weights


def quickstart(
    folder: Annotated[
        Path, typer.Argument(help="Where the files go: a new folder, or one that this wrote before.")
    ] = Path("imagebind-quickstart"),
) -> None:
    """Try six senses in one space: write small files, embed them, compare them. Offline, in seconds.

    The model is a small one, trained on a toy world of coloured shapes, and knows nothing else.

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
        console.print(text, style=style, markup=False, soft_wrap=whole)  # whole: to be copied

    say(
        f"{len(result.scenes)} scenes of a toy world, as combinations that training never showed: each a "
        "picture, a video, a sound, depth, heat, motion and words. They are in"
    )
    say(f"{result.folder}", whole=True)
    say()
    console.print(_scenes(result))
    for table in result.tables:
        say()
        say(_heading(table), style="bold")
        console.print(_similarities(result, table))
        say(_verdict_on(table))
    for heading, search in (_retrieval(result), _arithmetic(result)):
        say()
        say(heading, style="bold")
        console.print(_answers(result, search))
        say(_verdict(search), style="green" if search.is_correct else "red")
    say()
    say("A heat map of words against pictures, sounds and depth is in")
    say(f"{result.heatmap}", whole=True)
    say()
    say(
        "This small model knows its toy world of coloured shapes and nothing else. For real pictures and "
        "sounds there are the released weights: Meta's, CC BY-NC-SA 4.0, not for commercial use, downloaded "
        "once (4.8 GB). The same files with them:"
    )
    say()
    say(released_line(result), whole=True)


def released_line(result: "Quickstart") -> str:
    """The command that compares the files of the first scenes with the released weights."""
    places = range(COMPARED)
    options = [("--text", result.caption(place, "image_caption")) for place in places]
    options += [
        (f"--{kind}", str(result.files[place][kind])) for kind in ("image", "audio") for place in places
    ]
    return " ".join(["imagebind compare", *(f"{name} {shlex.quote(value)}" for name, value in options)])


def _scenes(result: "Quickstart") -> "Table":
    table = _table("scene", "colour", "shape", "motion", "folder")
    for place, scene in enumerate(result.scenes):
        table.add_row(
            str(place + 1),
            scene.colour.value,
            scene.shape.value,
            scene.motion.value,
            result.files[place]["image"].parent.name,
        )
    return table


def _heading(table: "Similarities") -> str:
    pair = f"{PLURALS[table.rows].capitalize()} against {PLURALS[table.columns]}"
    return f"{pair}: {_training(table.trained_together)}"


def _training(together: bool) -> str:
    return "trained together" if together else "never trained together"


def _similarities(result: "Quickstart", found: "Similarities") -> "Table":
    from rich.text import Text

    places = range(len(result.scenes))
    table = _table("cosine")
    table.padding = (0, 1, 0, 0)
    for place in places:
        table.add_column(f"{place + 1} ", justify="right", no_wrap=True)  # the space is below the star
    for place, row in enumerate(found.cosines):
        best = row.argmax()
        cells = [
            Text(f"{cosine:.2f}*", style="bold") if other == best else Text(f"{cosine:.2f} ")
            for other, cosine in enumerate(row)
        ]
        table.add_row(Text(f"{place + 1} {result.caption(place, found.rows)}"), *cells)
    return table


def _verdict_on(table: "Similarities") -> str:
    return (
        f"* is the nearest of its row: the scene's own, on the diagonal, in {table.own_nearest} of "
        f"{len(table.cosines)} rows."
    )


def _retrieval(result: "Quickstart") -> tuple[str, "Search"]:
    search = result.retrieval
    place = search.query[0][1]
    heading = (
        f"A search across senses {_training(search.trained_together)}: the motion recording of scene "
        f"{place + 1} ({result.scenes[place].motion.value}) among the sounds. Wanted: one of the same motion"
    )
    return heading, search


def _arithmetic(result: "Quickstart") -> tuple[str, "Search"]:
    search = result.arithmetic
    (_, picture), (_, sound) = search.query
    colour, motion = result.scenes[picture].colour.value, result.scenes[sound].motion.value
    heading = (
        f"Sum of two senses: the picture of scene {picture + 1} ({colour}) + the sound of scene {sound + 1} "
        f"({motion}), among the other scenes' videos. Wanted: one of something {colour}, {motion}"
    )
    return heading, search


def _answers(result: "Quickstart", search: "Search") -> "Table":
    table = _table("", "cosine", "scene", "colour", "shape", "motion")
    answers = list(zip(search.ranking, search.cosines, strict=True))[:SHOWN]
    for rank, (place, cosine) in enumerate(answers, start=1):
        scene = result.scenes[place]
        words = (scene.colour.value, scene.shape.value, scene.motion.value)
        table.add_row(f"{rank}.", f"{cosine:.2f}", str(place + 1), *words)
    return table


def _verdict(search: "Search") -> str:
    if search.is_correct:
        return "As hoped."
    return f"Not as hoped: what was wanted comes at place {search.rank} of {len(search.ranking)}."


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
