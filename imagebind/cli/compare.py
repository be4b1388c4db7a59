"""`imagebind compare`: the cosine similarities of a few items."""

from pathlib import Path
from typing import Annotated

import typer

from imagebind.cli.files import print_warnings
from imagebind.cli.options import (
    Audio,
    Depth,
    Device,
    Dtype,
    Images,
    Imu,
    Items,
    Packs,
    Thermal,
    Videos,
    Weights,
    load_embedder,
    output,
    read_items,
    read_packs,
)


def compare(
    text: Annotated[list[str] | None, typer.Option(help="A text; repeatable, as all below.")] = None,
    image: Images = None,
    video: Videos = None,
    audio: Audio = None,
    depth: Depth = None,
    thermal: Thermal = None,
    imu: Imu = None,
    item: Items = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the matrix into a .png, .svg or .pdf file.")] = None,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Print the cosine similarity of each pair of items of any modality.

    ```
    imagebind compare --text "A dog." --text "A car" --image dog.jpg --audio car.wav --plot matrix.png
    imagebind compare --text "a red star" --pack event_camera --item event=star.npy
    ```
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from imagebind.intake.requests import identify

    given = {
        "text": text,
        "image": image,
        "video": video,
        "audio": audio,
        "depth": depth,
        "thermal": thermal,
        "imu": imu,
    }
    requests = [identify(each, modality=kind) for kind, items in given.items() for each in items or ()]
    bound = read_packs(packs)
    requests += [identify({kind.value: file}, bound=bound) for kind, file in read_items(item, bound)]
    if len(requests) < 2:
        raise typer.BadParameter("expected at least two items, such as --text and --image")
    embedder = load_embedder(
        weights,
        modalities={request.kind.modality for request in requests},
        device=device,
        dtype=dtype,
        packs=packs,
    )
    vectors, report = embedder.encode(requests, return_report=True)
    warnings = [(result.name, text) for result in report for text in result.warnings]
    similarity = embedder.similarity(vectors, vectors).numpy()
    labels = [
        Path(request.name).name if request.kind.value != "text" else request.name for request in requests
    ]
    table = Table("cosine", *(str(number) for number in range(1, len(labels) + 1)))
    for number, (label, row) in enumerate(zip(labels, similarity, strict=True), start=1):
        table.add_row(Text(f"{number} {label}"), *(f"{cosine:.3f}" for cosine in row))
    output().print(table)
    print_warnings(Console(stderr=True), warnings)
    if plot is not None:
        _draw(plot, similarity, labels)


def _draw(path: Path, similarity: "object", labels: list[str]) -> None:
    import numpy as np

    from imagebind.plot import similarity_heatmap

    figure = similarity_heatmap(np.asarray(similarity), labels, labels)
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from error
