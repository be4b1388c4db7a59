"""`imagebind search`: what an index has that is most like a text, a file, or a sum of several."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.options import Device, Dtype, Weights, load_embedder, output, weights_for
from imagebind.cli.startup import importing
from imagebind.errors import ImageBindError
from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from imagebind.search import Hit

Files = list[Path] | None


def search(
    db: Annotated[str, typer.Argument(help="An index that `imagebind index` made: a folder, or a URI.")],
    text: Annotated[
        list[str] | None, typer.Option(help="A text; repeated or with others it is added.")
    ] = None,
    image: Annotated[Files, typer.Option(help="A picture.")] = None,
    video: Annotated[Files, typer.Option(help="A video, its pictures.")] = None,
    audio: Annotated[Files, typer.Option(help="A sound, or a video's sound.")] = None,
    depth: Annotated[Files, typer.Option(help="Depth: 16-bit PNG in millimetres, or a float array.")] = None,
    thermal: Annotated[Files, typer.Option(help="A thermal picture.")] = None,
    imu: Annotated[Files, typer.Option(help="A recording of accelerometer and gyroscope.")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="A text to take away.")] = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many.")] = 10,
    only: Annotated[list[MediaKind] | None, typer.Option(help="Only this kind; repeat it for more.")] = None,
    path: Annotated[str | None, typer.Option(help="Only paths of this pattern, as 'holiday/**.jpg'.")] = None,
    between: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="START END", help="Only what overlaps these seconds."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this metadata.")
    ] = None,
    per_file: Annotated[int | None, typer.Option(min=1, help="At most so many hits in one file.")] = None,
    by_cosine: Annotated[
        bool, typer.Option("--by-cosine", help="Sort by plain cosine, which is not comparable across kinds.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write the hits as a page, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each hit.")] = False,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Search an index by anything. Several things are added; what is given by --minus is taken away.

    ```
    imagebind search media.lance --text "a dog barking" --top 10
    imagebind search media.lance --image beach.jpg --audio rain.wav
    imagebind search media.lance --image dog.jpg --text snow --minus grass --only video --html hits.html
    ```

    The score tells by how many standard deviations a hit is nearer to the query than its kind is. It compares
    across kinds, which cosines do not. An index that was made with `--weights tiny` is searched with it.
    """
    given: dict[MediaKind, Sequence[Any]] = {
        MediaKind.TEXT: text or (),
        MediaKind.IMAGE: image or (),
        MediaKind.VIDEO: video or (),
        MediaKind.AUDIO: audio or (),
        MediaKind.DEPTH: depth or (),
        MediaKind.THERMAL: thermal or (),
        MediaKind.IMU: imu or (),
    }
    parts: list[tuple[Any, float]] = [
        ({kind.value: item}, 1.0) for kind, items in given.items() for item in items
    ]
    if not parts:
        raise typer.BadParameter("expected at least one thing to look for, such as --text or --image")
    parts += [({MediaKind.TEXT.value: words}, -1.0) for words in minus or ()]
    with importing():
        import torch  # noqa: F401

        from imagebind.search import Index

        # Before the model is loaded: a wrong name is told at once.
        weights = weights_for(Index.open(db), weights)
    used = {MediaKind(next(iter(item))).modality for item, _ in parts}
    index = Index.open(db, load_embedder(weights, modalities=used, device=device, dtype=dtype))
    try:
        hits = index.search(
            parts,
            top,
            kinds=only or None,
            path=path,
            between=between,
            metadata=_metadata(where or ()),
            calibrated=not by_cosine,
            per_file=per_file,
        )
    except ImageBindError:
        raise
    except ValueError as error:  # such as a sum that is nothing
        raise typer.BadParameter(str(error)) from error
    title = " + ".join(str(next(iter(item.values()))) for item, weight in parts if weight > 0)
    title += "".join(f" − {words}" for words in minus or ())
    if html is not None:
        from imagebind.search.html import hits_page

        html.write_text(hits_page(hits, title=title), encoding="utf-8")
    if as_json:
        for hit in hits:
            typer.echo(json.dumps(_record(hit), ensure_ascii=False))
    else:
        _print_hits(hits, empty=not len(index), db=db)


def _metadata(said: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE: a number or true or false where it reads as one, else text."""
    found: dict[str, Any] = {}
    for entry in said:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{entry!r}; expected NAME=VALUE", param_hint="--where")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        found[name] = parsed if isinstance(parsed, int | float | bool) else value
    return found


def _record(hit: "Hit") -> dict[str, Any]:
    return {
        "path": hit.path,
        "kind": hit.kind.value,
        "start": hit.start,
        "end": hit.end,
        "score": round(hit.score, 4),
        "cosine": round(hit.cosine, 6),
        "id": hit.id,
        "metadata": hit.metadata,
    }


def _print_hits(hits: "Sequence[Hit]", *, empty: bool, db: str) -> None:
    from rich.table import Table
    from rich.text import Text

    console = output()
    if not hits:
        advice = (
            f"the index is empty: imagebind index FOLDER --db {db}" if empty else "try fewer or other filters"
        )
        console.print(Text(f"nothing found; {advice}"), soft_wrap=True)
        return
    table = Table("score", "cosine", "kind", "seconds", "path", box=None)
    for hit in hits:
        seconds = "" if hit.start is None or hit.end is None else f"{hit.start:.1f}–{hit.end:.1f}"
        table.add_row(
            f"{hit.score:.2f}",
            f"{hit.cosine:.3f}",
            hit.kind.value,
            seconds,
            Text(_shown(hit), overflow="fold"),
        )
    console.print(table)


def _shown(hit: "Hit") -> str:
    """Where it is; below the working folder without that."""
    try:
        return str(Path(hit.path).relative_to(Path.cwd()))
    except ValueError:
        return hit.path
