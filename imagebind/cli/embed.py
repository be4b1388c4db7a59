"""`imagebind embed`: files and folders to vectors in one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.files import expand
from imagebind.cli.options import BatchSize, Device, Dtype, Modality, Weights, load_embedder

if TYPE_CHECKING:
    from rich.console import Console

ERRORS_NAME = "errors.jsonl"
SHOWN_ERRORS = 10


def embed(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders to walk through.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .parquet, .jsonl or .npz file to write.")],
    modality: Modality = None,
    clips: Annotated[bool, typer.Option("--clips", help="A row for each clip of a recording.")] = False,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch_size: BatchSize = 32,
) -> None:
    """Embed files, whatever they are, into one space; a row has path, modality, start, end and vector.

    Files that cannot be read are listed at the end and in `errors.jsonl` beside the output; all others
    are done. The exit code is 1 if there were any.

    ```
    imagebind embed photos/ sounds/ --out embeddings.parquet
    imagebind embed scans/*.png --modality depth --out depth.npz
    imagebind embed talk.mp4 --clips --out talk.jsonl
    ```
    """
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from imagebind.errors import MediaError
    from imagebind.transforms.intake import identify
    from imagebind.vectors import VectorFile, check_suffix, rows_of

    try:
        check_suffix(out)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error
    requests = []
    failures: list[tuple[str, Exception]] = []
    for path in expand(paths, without=[out, out.with_name(ERRORS_NAME)]):
        try:
            requests.append(identify(path, modality=modality))
        except MediaError as error:
            failures.append((error.item, error))
    console = Console(stderr=True)
    done = 0
    if requests:
        embedder = load_embedder(
            weights, modalities={request.kind.modality for request in requests}, device=device, dtype=dtype
        )
        stream = embedder.encode_stream(requests, batch_size=batch_size, clips=clips)
        with VectorFile(out, embed_dim=embedder.embed_dim) as file:
            for result in track(stream, "Embedding", total=len(requests), console=console):
                if result.error is not None:
                    failures.append((result.name, result.error))
                    continue
                done += 1
                for row in rows_of(result):
                    file.write(row)
    summary = f"{done} of {done + len(failures)} files embedded" + (f" into {out}" if done else "")
    console.print(Text(summary), soft_wrap=True)
    if failures:
        _report_failures(console, failures, out.with_name(ERRORS_NAME))
    if failures or not done:
        raise typer.Exit(1)


def _report_failures(console: "Console", failures: Sequence[tuple[str, Exception]], path: Path) -> None:
    from rich.text import Text

    with path.open("w", encoding="utf-8") as file:
        for name, error in failures:
            kind = type(error).__name__
            file.write(
                json.dumps({"path": name, "error": str(error), "kind": kind}, ensure_ascii=False) + "\n"
            )
    for _, error in failures[:SHOWN_ERRORS]:
        console.print(Text(f"  {error}", style="red"), soft_wrap=True)
    more = len(failures) - SHOWN_ERRORS
    rest = f"  and {more} more; " if more > 0 else ""
    console.print(Text(f"{rest}all {len(failures)} failures are in {path}"), soft_wrap=True)
