"""What computes for `embed` and `index`: this process, or actors of a Ray cluster."""

from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.options import TINY, load_embedder
from imagebind.modality import ModalityType

if TYPE_CHECKING:
    from imagebind.distributed.ray_engine import Cluster, Load
    from imagebind.embedder import Embedder

GPUS = {None: None, "cpu": False, "cuda": True}  # whether actors are to have one, by --device


class Engine(str, Enum):
    """What does the work."""

    LOCAL = "local"
    RAY = "ray"


EngineName = Annotated[Engine, typer.Option("--engine", help="What computes: this process, or Ray.")]
Partitions = Annotated[
    int | None, typer.Option(min=1, help="Ray: about how many files to write, each done as a whole.")
]
Actors = Annotated[
    int | None, typer.Option(min=1, help="Ray: how many workers; by default one a GPU, or a machine.")
]
RayAddress = Annotated[
    str | None, typer.Option(help="Ray: a running cluster; by default RAY_ADDRESS, or a new one here.")
]


def check_local(partitions: int | None, actors: int | None, address: str | None) -> None:
    """Refuse options that say nothing to the local engine."""
    if (partitions, actors, address) != (None, None, None):
        raise typer.BadParameter("--partitions, --actors and --ray-address need --engine ray")


def cluster_for(device: str | None, actors: int | None, address: str | None) -> "Cluster":
    """The cluster that is asked for.

    Raises:
        typer.BadParameter: a device that actors cannot be given.
    """
    from imagebind.distributed.ray_engine import Cluster

    if device not in GPUS:
        raise typer.BadParameter(f"{device!r}; expected cpu or cuda with --engine ray", param_hint="--device")
    return Cluster(address=address, actors=actors, gpus=GPUS[device])


def loader(weights: str | None, modality: ModalityType | None, dtype: str) -> "Load":
    """What each actor calls to have the model, whole or the trunk of a modality."""
    return partial(_load, weights, modality, dtype)


def everywhere(weights: str | None) -> str | None:
    """Weights by a name that means the same in another folder."""
    is_here = weights is not None and weights != TINY and Path(weights).exists()
    return str(Path(weights).absolute()) if is_here and weights is not None else weights


def _load(weights: str | None, modality: ModalityType | None, dtype: str, device: str) -> "Embedder":
    modalities = list(ModalityType) if modality is None else [modality]
    return load_embedder(weights, modalities=modalities, device=device, dtype=dtype)
