"""`imagebind embed --engine ray`: the same on many machines, part by part."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imagebind.cli.files import expand
from imagebind.cli.options import TINY, load_embedder
from imagebind.modality import MediaKind, ModalityType
from imagebind.uri import is_uri

if TYPE_CHECKING:
    from imagebind.embedder import Embedder

SHOWN_ERRORS = 10
RELEASED = "as released"
GPUS = {None: None, "cpu": False, "cuda": True}  # whether actors are to have one, by --device


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
    """Run the command."""
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from imagebind.search.engines.job import prepare
    from imagebind.search.engines.methods import EmbedItems
    from imagebind.search.engines.output import ERRORS
    from imagebind.search.engines.ray_engine import Cluster, embed

    if device not in GPUS:
        raise typer.BadParameter(f"{device!r}; with --engine ray wants cpu or cuda", param_hint="--device")
    method = EmbedItems(modality=modality, clips=clips, batch_size=batch_size)
    weights = _everywhere(weights)
    job = prepare(_sources(paths), out, method=method, weights=weights or RELEASED, partitions=partitions)
    load = partial(_load, weights, None if modality is None else modality.modality, dtype)
    cluster = Cluster(address=address, actors=actors, gpus=GPUS[device])
    console = Console(stderr=True)
    embedded, failed, shown = 0, len(job.failures), list(job.failures)
    stream = embed(job, load, cluster=cluster)
    for part in track(stream, "Embedding", total=len(job.waiting), console=console):
        embedded += part.embedded
        failed += part.failed
        shown += part.failures
    before = f", {len(job.done)} of them done before" if job.done else ""
    console.print(
        Text(f"{embedded} of {embedded + failed} items embedded into {out} ({len(job.parts)} parts{before})"),
        soft_wrap=True,
    )
    for failure in shown[:SHOWN_ERRORS]:
        console.print(Text(f"  {failure.error}", style="red"), soft_wrap=True)
    if job.output.has_failures():
        console.print(Text(f"all failures are in {out.rstrip('/')}/{ERRORS}"), soft_wrap=True)
    if job.output.has_failures() or not job.parts:
        raise typer.Exit(1)


def _sources(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if is_uri(path):
            yield path
        else:
            yield from map(str, expand([Path(path)]))


def _everywhere(weights: str | None) -> str | None:
    """Weights by a name that means the same in another folder."""
    is_here = weights is not None and weights != TINY and Path(weights).exists()
    return str(Path(weights).absolute()) if is_here and weights is not None else weights


def _load(weights: str | None, modality: ModalityType | None, dtype: str, device: str) -> "Embedder":
    modalities = list(ModalityType) if modality is None else [modality]
    return load_embedder(weights, modalities=modalities, device=device, dtype=dtype)
