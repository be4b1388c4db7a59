"""The engine of `embed` and `index`: this process, or actors of a Ray cluster."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.options import TINY, load_embedder
from imagebind.modality import ModalityType

if TYPE_CHECKING:
    from imagebind.distributed.ray_engine import Cluster, EmbedderLoader
    from imagebind.embedder import Embedder

WORKER_HAS_GPU = {None: None, "cpu": False, "cuda": True}  # by --device; if it is None, the cluster decides


class Engine(str, Enum):
    """The engines that --engine accepts."""

    LOCAL = "local"
    RAY = "ray"


EngineName = Annotated[Engine, typer.Option("--engine", help="Embed in this process, or on a Ray cluster.")]
Partitions = Annotated[
    int | None, typer.Option(min=1, help="Ray: approximate number of output files, each written as a whole.")
]
Actors = Annotated[
    int | None, typer.Option(min=1, help="Ray: number of workers; by default one per GPU, or per machine.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="Ray: address of a cluster; by default RAY_ADDRESS, or a new local one."),
]


def check_local(partitions: int | None, actors: int | None, address: str | None) -> None:
    """Refuse options that only the Ray engine has."""
    if (partitions, actors, address) != (None, None, None):
        raise typer.BadParameter("--partitions, --actors and --ray-address need --engine ray")


def cluster_for(device: str | None, actors: int | None, address: str | None) -> "Cluster":
    """Return the cluster that the options describe.

    Raises:
        typer.BadParameter: the device is not cpu or cuda.
    """
    from imagebind.distributed.ray_engine import Cluster

    if device not in WORKER_HAS_GPU:
        raise typer.BadParameter(
            f"expected cpu or cuda with --engine ray, got {device!r}", param_hint="--device"
        )
    return Cluster(address=address, actors=actors, gpus=WORKER_HAS_GPU[device])


def loader(
    weights: str | None, modality: ModalityType | None, dtype: str, packs: Sequence[str] = ()
) -> "EmbedderLoader":
    """Return the function by which each actor loads the model, whole or one trunk, with packs."""
    return partial(_load, weights, modality, dtype, packs)


def with_absolute_path(weights: str | None) -> str | None:
    """Return an existing path as an absolute one, for workers in other folders; other weights unchanged."""
    is_local = weights is not None and weights != TINY and Path(weights).exists()
    return str(Path(weights).absolute()) if is_local and weights is not None else weights


def _load(
    weights: str | None, modality: ModalityType | None, dtype: str, packs: Sequence[str], device: str
) -> "Embedder":
    modalities = list(ModalityType) if modality is None else [modality]
    return load_embedder(weights, modalities=modalities, device=device, dtype=dtype, packs=packs)
