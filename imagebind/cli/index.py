"""`imagebind index`: index folders of media files for search; later runs embed only new and changed files."""

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.engine import (
    Actors,
    Engine,
    EngineName,
    Partitions,
    RayAddress,
    check_local,
    cluster_for,
    loader,
    with_absolute_path,
)
from imagebind.cli.files import SHOWN_WARNINGS, Maps, error_path, files, left_out, print_failures, read_maps
from imagebind.cli.options import (
    TINY,
    BatchSize,
    Device,
    Dtype,
    Packs,
    Weights,
    check_hop,
    load_embedder,
    read_packs,
    weights_for,
)
from imagebind.modality import BoundModality, MediaKind, ModalityType, kinds_in_order

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from imagebind.distributed.ray_engine import Cluster
    from imagebind.errors import AmbiguousMediaError
    from imagebind.intake.requests import Transform
    from imagebind.media.discover import FoundFile
    from imagebind.search.crawl.embed import FileEmbedder
    from imagebind.search.crawl.examine import KindAndOptions
    from imagebind.search.crawl.report import CrawlReport

SKIP_ANSWER = "skip"


def index(
    paths: Annotated[list[str], typer.Argument(help="Folders and files, by path or URI.")],
    db: Annotated[str, typer.Option(help="The index: a folder, created if it does not exist, or a URI.")],
    maps: Maps = None,
    packs: Packs = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove files from the index that no longer exist.")
    ] = False,
    window: Annotated[float, typer.Option(help="Length of a window of a long recording, in seconds.")] = 10.0,
    hop: Annotated[
        float | None, typer.Option(help="Seconds between the starts of windows; by default half a window.")
    ] = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch_size: BatchSize = 32,
    engine: EngineName = Engine.LOCAL,
    partitions: Partitions = None,
    actors: Actors = None,
    ray_address: RayAddress = None,
) -> None:
    """Index folders of media files, so that they can be searched by any media type.

    The same command later indexes only new and changed files; moved files are recognised by their content. It
    can be stopped or killed at any time, and resumes when it is run again.

    Files that cannot be read are listed at the end and in DB.errors.jsonl; all others are indexed. The exit
    code is 1 if any file cannot be read. The same file lists warnings about indexed files, such as a damaged
    part. Files that are not media are only counted.

    With `--engine ray`, a Ray cluster embeds new and changed files. All its machines must reach the files
    and the folder of the index by the same paths.

    ```
    imagebind index ~/media --db media.lance
    imagebind index ~/media --db media.lance --map 'depth/**.png=depth:kinect_v1' --prune
    imagebind index ~/media --db media.lance --pack event_camera --map 'events/*.npy=event'
    imagebind index /shared/media --db /shared/media.lance --engine ray --ray-address head:6379
    ```
    """
    from rich.console import Console

    from imagebind.media.discover import check_roots
    from imagebind.search import Index
    from imagebind.search.crawl.crawler import crawl
    from imagebind.search.store import exists
    from imagebind.windows import MIN_HOP_SECONDS

    bound = read_packs(packs)
    mappings = read_maps(maps, bound)
    if not MIN_HOP_SECONDS <= window < math.inf:
        raise typer.BadParameter(
            f"expected finite seconds of at least {MIN_HOP_SECONDS:g}, got {window:g}", param_hint="--window"
        )
    hop = max(window / 2, MIN_HOP_SECONDS) if hop is None else hop
    check_hop(hop, window)
    check_roots(paths)
    if engine is Engine.LOCAL:
        check_local(partitions, actors, ray_address)
        cluster = None
    else:
        cluster = cluster_for(device, actors, ray_address)
    if exists(db):
        weights = weights_for(Index.open(db), weights)  # before loading the model, to fail early
    embedder = load_embedder(weights, modalities=ModalityType, device=device, dtype=dtype, packs=packs)
    console = Console(stderr=True)
    errors = error_path(db)
    file_embedder = _file_embedder(db, weights, dtype, packs, cluster, partitions)
    with file_embedder as embed, _shown_progress(console) as bar:
        task = bar.add_task("Indexing", total=None, rate="")

        def tell(report: "CrawlReport", total: int | None) -> None:
            rate = f"{report.seen / max(report.seconds, 1e-3):.0f} files/s"
            bar.update(task, completed=report.seen, total=total, rate=rate)

        def ask(found: "FoundFile", error: "AmbiguousMediaError") -> "KindAndOptions | None":
            bar.stop()
            try:
                return _ask(found, error, bound)
            finally:
                bar.start()

        opened = Index.open(db, embedder, create=True)
        report = crawl(
            opened,
            paths,
            prune=prune,
            ask=ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
            progress=tell,
            errors=errors,
            mappings=mappings,
            window_seconds=window,
            hop_seconds=hop,
            batch_size=batch_size,
            embed=embed,
        )
    failed = _summarise(console, report, errors)
    if len(opened):
        options = [] if weights in (None, TINY) else ["--weights", weights]  # `search` detects imagebind_tiny
        search = ["imagebind", "search", db, *options, "--text", "a red star" if weights == TINY else "a dog"]
        console.print(f"search it: {shlex.join(search)}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _file_embedder(
    db: str,
    weights: str | None,
    dtype: str,
    packs: Sequence[str] | None,
    cluster: "Cluster | None",
    partitions: int | None,
) -> "Iterator[FileEmbedder]":
    """Yield a function that embeds the files of a crawl: in this process, or on a cluster."""
    if cluster is None:
        from imagebind.search.crawl.embed import embed_files

        yield embed_files
        return
    from imagebind.distributed.crawl import on_engine, working_folder
    from imagebind.distributed.ray_engine import connected, embed

    load = loader(
        with_absolute_path(weights), None, dtype, [str(with_absolute_path(pack)) for pack in packs or ()]
    )
    with connected(cluster.address):  # before any file is examined, to fail early
        yield on_engine(
            lambda job: embed(job, load, cluster=cluster), working_folder(db), partitions=partitions
        )


def _ask(
    found: "FoundFile", error: "AmbiguousMediaError", bound: "Mapping[BoundModality, Transform]"
) -> "KindAndOptions | None":
    """Ask for the media type of a folder's ambiguous files until the answer is valid; None skips them."""
    from imagebind.intake.mapping import parse_kind

    kinds = ", ".join([*(kind.value for kind in error.kinds), SKIP_ANSWER])
    question = (
        f"{error.item}: {error.got}.\nMedia type of these files in {error.item.rpartition('/')[0]}? ({kinds})"
    )
    while True:
        answer = typer.prompt(question, err=True).strip()
        if answer == SKIP_ANSWER:
            return None
        try:
            return parse_kind(answer, bound)
        except ValueError as refusal:
            typer.echo(str(refusal), err=True)


@contextmanager
def _shown_progress(console: "Console") -> "Iterator[Progress]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


def _summarise(console: "Console", report: "CrawlReport", errors: Path) -> int:
    """Print the report of a crawl, and return the number of failures that it has kept."""
    from rich.table import Table
    from rich.text import Text

    from imagebind.search.crawl.report import FileOutcome

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), soft_wrap=True)

    outcomes = [outcome for outcome in FileOutcome if report.total(outcome)]
    table = Table("", *(outcome.value for outcome in outcomes), box=None)
    seen = {kind for outcome in outcomes for kind, count in report.counts[outcome].items() if count}
    kinds: list[MediaKind | None] = [*kinds_in_order(kind for kind in seen if kind is not None), None]
    for kind in kinds:
        if kind in seen:
            cells = [str(report.counts[outcome][kind] or "") for outcome in outcomes]
            table.add_row("unknown" if kind is None else kind.value, *cells)
    if outcomes:
        console.print(table)
    say(f"{files(report.seen)} in {report.seconds:.1f} s, {report.rows} rows written")
    if report.not_media:
        say(left_out(report.not_media))
    if report.gone:
        say(f"{files(report.gone)} in the index no longer exist; --prune removes them")
    for warning in report.warnings[:SHOWN_WARNINGS]:
        say(f"  {warning.path}: {warning.warning}", style="yellow")
    if report.warnings:
        say(f"warnings about {files(report.warned_files)} in {errors}")
    print_failures(console, report.failures, where=errors)
    return len(report.failures)
