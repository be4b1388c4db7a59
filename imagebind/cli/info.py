"""`imagebind info`: the detected media type and the tensor of each file. Needs no weights."""

from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.files import Maps, left_out, print_warnings, read_maps
from imagebind.cli.options import Modality, Packs, output, read_modality, read_packs
from imagebind.modality import BoundModality

if TYPE_CHECKING:
    from imagebind.intake.requests import Views


def info(
    paths: Annotated[list[str], typer.Argument(help="Files and folders, by path or URI.")],
    modality: Modality = None,
    maps: Maps = None,
    packs: Packs = None,
) -> None:
    """Print the media type of each file, the shape and values of its tensor, and the times of its clips.

    ```
    imagebind info dog.jpg bark.wav walk.csv
    imagebind info scan.png --modality depth
    imagebind info star.npy --pack event_camera --modality event
    ```
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from imagebind.errors import MediaError
    from imagebind.intake.files import collect_requests
    from imagebind.intake.requests import default_transform, prepare

    table = Table()
    table.add_column("file", overflow="fold", min_width=16)
    for title in ("media type", "tensor", "values"):
        table.add_column(title, no_wrap=True)
    table.add_column("clips in seconds")
    bound = read_packs(packs)
    collected = collect_requests(
        paths, modality=read_modality(modality, bound), mappings=read_maps(maps, bound), bound=bound
    )
    problems = [str(error) for error in collected.failures]
    warnings: list[tuple[str, str]] = []
    for request in collected.requests:
        try:
            kind = request.kind
            transform = bound[kind] if isinstance(kind, BoundModality) else default_transform(kind)
            views = prepare(request, transform)
        except MediaError as error:
            problems.append(str(error))
            continue
        table.add_row(Text(request.name), *_describe(views))
        warnings += [(request.name, text) for text in views.warnings]
    if table.rows:
        output().print(table)
    console = Console(stderr=True)
    if collected.not_media:
        console.print(Text(left_out(collected.not_media)), soft_wrap=True)
    print_warnings(console, warnings)
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if problems or not table.rows:
        raise typer.Exit(1)


def _describe(views: "Views") -> tuple[str, str, str, str]:
    tensor = views.views
    spans = ", ".join(f"{start:.1f}–{end:.1f}" for start, end in views.spans) or "–"
    if tensor.is_floating_point():
        values = f"{tensor.min():.2f} … {tensor.max():.2f}"
    else:
        values = f"{int(tensor.argmax(dim=1).max()) + 1} tokens"
    kind, modality = views.kind.value, views.kind.modality.value
    media_type = kind if kind == modality else f"{kind} ({modality})"
    return media_type, str(tuple(tensor.shape)), values, spans
