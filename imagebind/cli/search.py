"""`imagebind search`: search an index by a text, a file, or several of them, added and subtracted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.options import (
    MEDIA_TYPE_NAMES,
    Audio,
    Depth,
    Device,
    Dtype,
    Images,
    Imu,
    Items,
    Minus,
    Packs,
    Texts,
    Thermal,
    Videos,
    Weights,
    check_folder,
    load_embedder,
    modalities_of,
    output,
    query_terms,
    read_items,
    read_packs,
    title_of,
    usage_errors,
    weights_for,
)
from imagebind.cli.startup import importing

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
    item: Items = None,
    minus: Minus = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Maximum number of hits.")] = 10,
    only: Annotated[
        list[str] | None, typer.Option(metavar=MEDIA_TYPE_NAMES, help="Only this media type; repeatable.")
    ] = None,
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
    per_file: Annotated[int | None, typer.Option(min=1, help="Maximum number of hits per file.")] = None,
    by_cosine: Annotated[
        bool,
        typer.Option("--by-cosine", help="Sort by cosine, which is not comparable across media types."),
    ] = False,
    moments: Annotated[
        bool,
        typer.Option("--moments", help="Search recordings only, and join their overlapping windows."),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the hits to this HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each hit.")] = False,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Search an index by items of any media type.

    The query is the sum of their embeddings; --minus subtracts that of a text.

    ```
    imagebind search media.lance --text "a dog barking" --top 10
    imagebind search media.lance --image beach.jpg --audio rain.wav
    imagebind search media.lance --image dog.jpg --text snow --minus grass --only video --html hits.html
    imagebind search media.lance --text "a dog barking" --moments
    imagebind search media.lance --pack event_camera --item event=star.npy --only image
    ```

    The score is the number of standard deviations by which the cosine similarity of a hit exceeds the query's
    mean cosine similarity with items of the hit's media type. Scores are comparable across media types;
    cosine similarities are not. An index made with `--model tiny` is searched with the same model by default.
    """
    terms = query_terms(
        minus,
        others=read_items(item, read_packs(packs)),
        text=text,
        image=image,
        video=video,
        audio=audio,
        depth=depth,
        thermal=thermal,
        imu=imu,
    )
    check_folder(html, hint="--html")
    if moments and by_cosine:
        raise typer.BadParameter("expected --moments or --by-cosine, got both", param_hint="--by-cosine")
    with importing():
        import torch  # noqa: F401

        from imagebind.search import Index
        from imagebind.search.moments import search_moments

        # Before the model is loaded, so that a wrong index or media type fails at once.
        opened = Index.open(db)
        weights = weights_for(opened, weights)
        with usage_errors():
            kinds = opened.kinds_named(only) if only else None
    embedder = load_embedder(
        weights, modalities=modalities_of(terms), device=device, dtype=dtype, packs=packs
    )
    index = Index.open(db, embedder)
    with usage_errors():
        filters: dict[str, Any] = {
            "kinds": kinds,
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
            typer.echo(json.dumps(_hit_fields(hit), ensure_ascii=False))
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


def _hit_fields(hit: "Hit") -> dict[str, Any]:
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
    table = Table("score", "cosine", "media type", "seconds", "path", box=None)
    for hit in hits:
        seconds = "" if hit.start is None or hit.end is None else f"{hit.start:.1f}–{hit.end:.1f}"
        table.add_row(
            f"{hit.score:.2f}",
            f"{hit.cosine:.3f}",
            hit.kind.value,
            seconds,
            Text(_display_path(hit), overflow="fold"),
        )
    console.print(table)


def _display_path(hit: "Hit") -> str:
    """Return the path of a hit, relative if it is in the working folder."""
    try:
        return str(Path(hit.path).relative_to(Path.cwd()))
    except ValueError:
        return hit.path
