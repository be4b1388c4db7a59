"""Options that several commands share, and the model that they describe."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.modality import MediaKind, ModalityType

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from imagebind.embedder import Embedder
    from imagebind.search import Index

WEIGHTS_HELP = (
    "A .pth or .safetensors file, a folder made by `imagebind weights convert` or `save_model`, "
    "hf://owner/repo or another URI; or tiny: the small model in this package, which knows a toy world only. "
    "By default the released file, downloaded once (4.8 GB, CC BY-NC-SA 4.0)."
)
TINY = "tiny"
PIPE_COLUMNS = 4096  # the longest path there is

Weights = Annotated[str | None, typer.Option("--weights", "-w", metavar="SOURCE", help=WEIGHTS_HELP)]
Device = Annotated[
    str | None, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps. By default the best.")
]
Dtype = Annotated[str, typer.Option(help="Precision of the weights: float32, bfloat16 or float16.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Views a forward pass: a picture is one, a video 15.")]
Modality = Annotated[MediaKind | None, typer.Option("--modality", "-m", help="What every file is.")]


def output() -> "Console":
    """Standard output for tables: where it is no terminal, so wide that names stay in one piece."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    return console


def weights_for(index: "Index", weights: str | None) -> str | None:
    """The weights that were asked for, or else those of an index which the package's small model made."""
    return TINY if weights is None and index.space.model == "imagebind_tiny" else weights


def load_embedder(
    weights: str | None, *, modalities: Iterable[ModalityType], device: str | None, dtype: str
) -> "Embedder":
    """An embedder with the trunks that are needed.

    Raises:
        typer.BadParameter: a device or precision that does not exist.
        CheckpointError: weights that cannot be had.
    """
    import torch

    from imagebind.embedder import Embedder
    from imagebind.factory import TINY_FOLDER, imagebind_huge, load_model
    from imagebind.weights import CONFIG_NAME

    precisions = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in precisions:
        raise typer.BadParameter(f"{dtype!r}; wants one of {', '.join(precisions)}", param_hint="--dtype")
    place = _device(device or best_device())
    weights = str(TINY_FOLDER) if weights == TINY else weights
    if weights is not None and (Path(weights) / CONFIG_NAME).is_file():
        model = load_model(weights, modalities=modalities, dtype=precisions[dtype], device=place)
    else:
        model = imagebind_huge(
            True if weights is None else weights, modalities=modalities, dtype=precisions[dtype], device=place
        )
    return Embedder(model)


def _device(name: str) -> "torch.device":
    import torch

    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except Exception as error:  # of another kind for each way in which it is missing
        reason = str(error).partition("\n")[0]
        raise typer.BadParameter(f"{name!r} cannot be used here ({reason})", param_hint="--device") from error


def best_device() -> str:
    """The name of the fastest device there is."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
