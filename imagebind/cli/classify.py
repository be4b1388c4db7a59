"""`imagebind classify`: zero-shot classification of files of any media type."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.files import Maps, left_out, print_warnings, read_maps
from imagebind.cli.options import (
    Device,
    Dtype,
    Modality,
    Packs,
    Weights,
    load_embedder,
    output,
    read_modality,
    read_packs,
)
from imagebind.modality import ModalityType

if TYPE_CHECKING:
    from imagebind.batching import Embedding
    from imagebind.zeroshot import LabelScore

Names = tuple[str, ...]


def classify(
    paths: Annotated[list[str], typer.Argument(help="Files and folders, by path or URI.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A file with one label per line, further names of a label after |; # starts a comment line."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A label, such as 'dog' or 'dog|puppy'; repeatable.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="A prompt template, such as 'a photo of a {}.'; repeatable. By default CLIP's 80."),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of labels per file.")] = 5,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Divides cosines before the softmax; fit_temperature estimates it. "
            "By default derived from the model's trained logit scales."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each file.")] = False,
    modality: Modality = None,
    maps: Maps = None,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Classify images, video, audio, depth, thermal, IMU and text files by labels, zero-shot.

    ```
    imagebind classify clip.wav --labels labels.txt
    imagebind classify photos/ --label "dog|puppy" --label cat --template "a photo of a {}."
    imagebind classify scan.png --modality depth --labels rooms.txt --json
    imagebind classify events/ --pack event_camera --modality event --label star --label ring
    ```

    A label with several names has the score of its best name. Probabilities sum to 1 over the given labels
    even if none fits; check the cosine.

    Files that cannot be read are listed at the end, and the exit code is then 1. Files in a folder that are
    not media are only counted.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from imagebind.intake.files import collect_requests
    from imagebind.zeroshot import ZeroShotClassifier

    classes = _classes(labels, label or ())
    _check_templates(template or ())
    if temperature is not None and not 0 < temperature < math.inf:
        raise typer.BadParameter(
            f"expected a finite number above 0, got {temperature:g}", param_hint="--temperature"
        )
    bound = read_packs(packs)
    collected = collect_requests(
        paths, modality=read_modality(modality, bound), mappings=read_maps(maps, bound), bound=bound
    )
    requests, problems = collected.requests, [str(error) for error in collected.failures]
    console = Console(stderr=True)
    found: list[tuple[str, list[LabelScore]]] = []
    warnings: list[tuple[str, str]] = []
    if requests:
        used = {ModalityType.TEXT, *(request.kind.modality for request in requests)}
        embedder = load_embedder(weights, modalities=used, device=device, dtype=dtype, packs=packs)
        if ModalityType.TEXT.value not in embedder.model.modalities:
            raise typer.BadParameter(
                f"{weights}: expected a model with a text trunk, for the labels", param_hint="--model"
            )
        classifier = ZeroShotClassifier(embedder, classes, template, temperature)
        stream = embedder.encode_stream(requests)
        quiet = not console.is_terminal
        for result in track(
            stream, "Classifying", total=len(requests), console=console, transient=True, disable=quiet
        ):
            if result.error is not None:
                problems.append(str(result.error))
                continue
            warnings += [(result.name, text) for text in result.warnings]
            assert result.vector is not None and result.kind is not None
            scores = classifier.ranking(result.vector, result.kind)[:top]
            found.append((result.name, scores))
            if as_json:
                typer.echo(_line(result, scores))
    if found and not as_json:
        _print_table(found)
    if collected.not_media:
        console.print(Text(left_out(collected.not_media)), soft_wrap=True)
    print_warnings(console, warnings)
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if problems or not found:
        raise typer.Exit(1)


def _classes(file: Path | None, given: Sequence[str]) -> list[Names]:
    """Return the labels of --labels, then those of --label."""
    from imagebind.errors import MediaError
    from imagebind.prompts import parse_label, read_labels

    classes = [] if file is None else list(read_labels(file))
    for text in given:
        try:
            classes.append(parse_label(text, item="a label"))
        except MediaError as error:
            raise typer.BadParameter(str(error), param_hint="--label") from error
    names = [name for each in classes for name in each]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise typer.BadParameter(f"expected different names of labels, got {twice[0]!r} twice")
    if len(classes) < 2:
        raise typer.BadParameter(
            "expected at least two labels, by --labels labels.txt or --label dog --label cat"
        )
    return classes


def _check_templates(templates: Sequence[str]) -> None:
    from imagebind.prompts import check_template

    for template in templates:
        try:
            check_template(template)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--template") from error


def _line(result: "Embedding", scores: "Sequence[LabelScore]") -> str:
    labels = [
        {
            "label": each.label,
            "probability": round(each.probability, 6),
            "cosine": round(each.cosine, 6),
        }
        for each in scores
    ]
    return json.dumps({"path": result.name, "kind": str(result.kind), "labels": labels}, ensure_ascii=False)


def _print_table(found: "Sequence[tuple[str, Sequence[LabelScore]]]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("file", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("cosine", justify="right", no_wrap=True)
    for name, scores in found:
        for rank, each in enumerate(scores):
            table.add_row(
                Text("" if rank else name),
                Text(each.label, style="" if rank else "bold"),
                f"{each.probability:.3f}",
                f"{each.cosine:.3f}",
            )
    output().print(table)
