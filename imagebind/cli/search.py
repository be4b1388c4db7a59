"""`imagebind search`: search an index by a text, a file, or a weighted sum of several."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.options import (
    Audio,
    Depth,
    Device,
    Dtype,
    Images,
    Imu,
    Minus,
    Texts,
    Thermal,
    Videos,
    Weights,
    load_embedder,
    output,
    query_terms,
    title_of,
    usage_errors,
    weights_for,
)
from imagebind.cli.startup import importing
from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from imagebind.search import Hit


def search(
    db: Annotated[str, typer.Argument(help="An index made by `imagebind index`: a folder or a URI.")],
    text: Texts = None,
    image: Images = None,
    video: Videos = None,
    audio: Audio = None,
    depth: Depth = None,
    thermal: Thermal = None,
    imu: Imu = None,
    minus: Minus = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of hits.")] = 10,
    only: Annotated[list[MediaKind] | None, typer.Option(help="Only this media type; repeatable.")] = None,
    path: Annotated[
        str | None, typer.Option(help="Only paths that match this pattern, such as 'holiday/**.jpg'.")
    ] = None,
    between: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="START END", help="Only hits that overlap these seconds."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only hits with this metadata; repeatable.")
    ] = None,
    per_file: Annotated[int | None, typer.Option(min=1, help="Largest number of hits in one file.")] = None,
    by_cosine: Annotated[
        bool,
        typer.Option("--by-cosine", help="Sort by cosine, which is not comparable across media types."),
    ] = False,
    moments: Annotated[
        bool, typer.Option("--moments", help="Join windows of recordings that follow each other.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the hits to this HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each hit.")] = False,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Search an index by items of any media type. Several items are added; --minus subtracts a text.

    ```
    imagebind search media.lance --text "a dog barking" --top 10
    imagebind search media.lance --image beach.jpg --audio rain.wav
    imagebind search media.lance --image dog.jpg --text snow --minus grass --only video --html hits.html
    imagebind search media.lance --text "a dog barking" --moments
    ```

    The score is the number of standard deviations by which the cosine of a hit exceeds the mean of its media
    type. Scores are comparable across media types; cosines are not. An index made with `--weights tiny` is
    searched with it.
    """
    terms = query_terms(
        minus, text=text, image=image, video=video, audio=audio, depth=depth, thermal=thermal, imu=imu
    )
    if moments and by_cosine:
        raise typer.BadParameter("expected no --by-cosine with --moments", param_hint="--by-cosine")
    with importing():
        import torch  # noqa: F401

        from imagebind.search import Index
        from imagebind.search.moments import search_moments

        # Before the model is loaded, so that a wrong name fails at once.
        weights = weights_for(Index.open(db), weights)
    used = {MediaKind(next(iter(item))).modality for item, _ in terms}
    index = Index.open(db, load_embedder(weights, modalities=used, device=device, dtype=dtype))
    with usage_errors():
        filters: dict[str, Any] = {
            "kinds": only or None,
            "path": path,
            "between": between,
            "metadata": _metadata(where or ()),
            "per_file": per_file,
        }
        if moments:
            hits = search_moments(index, terms, top, **filters)
        else:
            hits = index.search(terms, top, calibrated=not by_cosine, **filters)
    if html is not None:
        from imagebind.search.html import hits_page

        html.write_text(hits_page(hits, title=title_of(terms)), encoding="utf-8")
    if as_json:
        for hit in hits:
            typer.echo(json.dumps(_record(hit), ensure_ascii=False))
    else:
        _print_hits(hits, empty=not len(index), db=db)


def _metadata(entries: Sequence[str]) -> dict[str, Any]:
    """Parse NAME=VALUE entries; a value is a number or boolean if it can be parsed as one, else a string."""
    metadata: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"expected NAME=VALUE, got {entry!r}", param_hint="--where")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        metadata[name] = parsed if isinstance(parsed, int | float | bool) else value
    return metadata


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
    """Return the path of a hit, relative if it is in the working folder."""
    try:
        return str(Path(hit.path).relative_to(Path.cwd()))
    except ValueError:
        return hit.path
