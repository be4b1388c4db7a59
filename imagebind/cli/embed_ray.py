"""`imagebind embed --engine ray`: embed files on a Ray cluster, part by part."""

from collections import Counter
from collections.abc import Sequence

import typer

from imagebind.cli.engine import cluster_for, loader, with_absolute_path
from imagebind.cli.files import left_out, print_failures
from imagebind.modality import MediaKind

RELEASED_WEIGHTS = "as released"  # the released weights in the manifest of an output


def embed_on_ray(
    paths: Sequence[str],
    out: str,
    *,
    modality: MediaKind | None,
    clips: bool,
    weights: str | None,
    device: str | None,
    dtype: str,
    batch_size: int,
    partitions: int | None,
    actors: int | None,
    address: str | None,
) -> None:
    """Run `imagebind embed --engine ray`."""
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from imagebind.distributed.job import prepare
    from imagebind.distributed.output import ERROR_FOLDER, WARNING_FOLDER
    from imagebind.distributed.ray_engine import embed
    from imagebind.distributed.worker import EmbedItems

    cluster = cluster_for(device, actors, address)
    method = EmbedItems(modality=modality, clips=clips, batch_size=batch_size)
    weights = with_absolute_path(weights)
    job = prepare(paths, out, method=method, weights=weights or RELEASED_WEIGHTS, partitions=partitions)
    load = loader(weights, None if modality is None else modality.modality, dtype)
    console = Console(stderr=True)
    embedded, failed, warned, shown = 0, len(job.failures), 0, list(job.failures)
    not_media: Counter[str] = Counter()
    stream = embed(job, load, cluster=cluster)
    for part in track(stream, "Embedding", total=len(job.waiting), console=console):
        embedded += part.embedded
        failed += part.failed
        warned += part.warnings
        shown += part.failures
        not_media += part.not_media
    earlier = f", {len(job.done)} of them from an earlier run" if job.done else ""
    console.print(
        Text(
            f"{embedded} of {embedded + failed} items embedded into {out} ({len(job.parts)} parts{earlier})"
        ),
        soft_wrap=True,
    )
    if not_media:
        console.print(Text(left_out(not_media)), soft_wrap=True)
    if warned:
        console.print(Text(f"{warned} warnings are in {out.rstrip('/')}/{WARNING_FOLDER}"), soft_wrap=True)
    print_failures(console, shown or list(job.output.failures()), where=f"{out.rstrip('/')}/{ERROR_FOLDER}")
    has_rows = embedded or any(job.output.read(number, ["path"]).num_rows for number in job.done)
    if job.output.has_failures() or not has_rows:
        raise typer.Exit(1)
