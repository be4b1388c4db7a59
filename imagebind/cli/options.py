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

    from imagebind.config import ImageBindConfig
    from imagebind.embedder import Embedder
    from imagebind.search import Index

WEIGHTS_HELP = (
    "imagebind_huge, the default: the released weights, downloaded once (4.8 GB, CC BY-NC-SA 4.0). "
    "imagebind_tiny, or tiny: the small model in this package, which knows a toy world only. "
    "Or a .pth or .safetensors file, a folder made by `imagebind weights convert` or `save_model`, "
    "hf://owner/repo or another URI."
)
TINY = "tiny"
PIPE_COLUMNS = 4096  # the longest path there is

Weights = Annotated[
    str | None, typer.Option("--model", "--weights", "-w", metavar="MODEL", help=WEIGHTS_HELP)
]
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
    """An embedder with the trunks that are needed, as far as a saved model has them.

    Raises:
        typer.BadParameter: a device or precision that does not exist, or a model with none of the trunks.
        CheckpointError: weights that cannot be had.
    """
    import torch

    from imagebind.checkpoints.factory import HUGE
    from imagebind.device import best_device
    from imagebind.embedder import Embedder

    precisions = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in precisions:
        raise typer.BadParameter(f"{dtype!r}; expected one of {', '.join(precisions)}", param_hint="--dtype")
    source = source_of(weights)
    sizes = sizes_of(source)
    if source is not None and sizes is not None:
        modalities = _that_it_has(sizes, modalities, source)
    return Embedder(
        HUGE if source is None else source,
        modalities=modalities,
        dtype=precisions[dtype],
        device=_device(device or best_device()),
    )


def source_of(weights: str | None) -> str | None:
    """What --weights says as a path or URI: the small model by its folder."""
    from imagebind.checkpoints import factory

    if weights in (TINY, factory.TINY):
        return str(factory.TINY_FOLDER)
    return None if weights == factory.HUGE else weights


def sizes_of(source: str | None) -> "ImageBindConfig | None":
    """The sizes that a saved model has beside its weights; None for weights alone.

    Raises:
        CheckpointError: sizes that cannot be read.
    """
    from imagebind.checkpoints.factory import saved_config
    from imagebind.checkpoints.formats import CONFIG_NAME

    is_saved = source is not None and (Path(source) / CONFIG_NAME).is_file()
    return saved_config(source) if is_saved and source is not None else None


def _that_it_has(
    sizes: "ImageBindConfig", modalities: Iterable[ModalityType], source: str
) -> list[ModalityType]:
    """Those of some modalities that a model was saved with; an item of another fails by itself."""
    wanted = list(modalities)
    found = [modality for modality in wanted if modality in sizes.modalities]
    if not found:
        raise typer.BadParameter(
            f"{source}: has {', '.join(sizes.modalities)}; expected {', '.join(sorted(map(str, wanted)))}",
            param_hint="--model",
        )
    return found


def _device(name: str) -> "torch.device":
    import torch

    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except Exception as error:  # of another kind for each way in which it is missing
        reason = str(error).partition("\n")[0]
        raise typer.BadParameter(f"{name!r} cannot be used here ({reason})", param_hint="--device") from error
