"""Options that several commands share, and functions that load a model by these options."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.errors import ImageBindError
from imagebind.modality import BoundModality, MediaKind, ModalityType, media_kind, stored_kind

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from imagebind.config import ImageBindConfig
    from imagebind.embedder import Embedder
    from imagebind.intake.requests import Transform
    from imagebind.search import Index

WEIGHTS_HELP = (
    "imagebind_huge, the default: the released weights, downloaded once (4.8 GB, CC BY-NC-SA 4.0). "
    "imagebind_tiny, or tiny: the small model in this package, trained on a toy world only. "
    "Or a .pth or .safetensors file, a folder made by `imagebind weights convert` or `save_model`, "
    "hf://owner/repo or another URI."
)
TINY = "tiny"
IMAGE_FORMATS = {  # of output images, by suffix
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".gif": "GIF"},
}
PIPE_COLUMNS = 4096  # the length limit of a path on Linux

Weights = Annotated[
    str | None, typer.Option("--model", "--weights", "-w", metavar="MODEL", help=WEIGHTS_HELP)
]
Device = Annotated[
    str | None, typer.Option(help="Device: cpu, cuda, cuda:1, mps. By default the fastest one.")
]
Dtype = Annotated[str, typer.Option(help="Precision of the weights: float32, bfloat16 or float16.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Views per forward pass: an image has 1, a video 15.")]
MEDIA_TYPE_NAMES = f"[{'|'.join(kind.value for kind in MediaKind)}|…]"
Modality = Annotated[
    str | None,
    typer.Option(
        "--modality",
        "-m",
        metavar=MEDIA_TYPE_NAMES,
        help="Media type of all files, or the modality of a pack.",
    ),
]
Packs = Annotated[
    list[str] | None,
    typer.Option(
        "--pack", metavar="FOLDER", help="A pack: a modality of your own, bound to the model; repeatable."
    ),
]

# The items of a query, by media type
Files = list[str] | None  # paths or URIs
Texts = Annotated[
    list[str] | None,
    typer.Option(help="A text; repeatable, like most options. Several items are summed."),
]
Images = Annotated[Files, typer.Option(help="An image.")]
Videos = Annotated[Files, typer.Option(help="A video, by its frames.")]
Audio = Annotated[Files, typer.Option(help="An audio file, or the audio of a video.")]
Depth = Annotated[Files, typer.Option(help="Depth: 16-bit PNG in millimetres, or a float array.")]
Thermal = Annotated[Files, typer.Option(help="A thermal image.")]
Imu = Annotated[Files, typer.Option(help="A recording of accelerometer and gyroscope.")]
Items = Annotated[
    list[str] | None,
    typer.Option("--item", metavar="MODALITY=FILE", help="A file of a pack's modality: event=star.npy."),
]
Minus = Annotated[list[str] | None, typer.Option(help="A text to subtract; repeatable.")]
Term = tuple[dict[str, str], float]  # an item with its media type, and its weight


def read_packs(packs: Sequence[str] | None) -> "dict[BoundModality, Transform]":
    """Return the transforms of the packs in some folders, by the modality.

    Raises:
        CheckpointError: a pack cannot be read, or its transform is not in `imagebind.transforms` or refuses
            its settings.
    """
    if not packs:
        return {}
    from imagebind.packs import read_pack

    return {pack.modality: pack.make_transform() for pack in map(read_pack, packs)}


def read_modality(name: str | None, bound: Collection[str], *, hint: str = "--modality") -> MediaKind | None:
    """Return the media type with a name, or the modality of a pack.

    Raises:
        typer.BadParameter: neither a media type nor a pack's modality has the name.
    """
    try:
        return None if name is None else media_kind(name, bound)
    except ValueError as error:
        advice = "" if bound else "; a modality of your own needs --pack FOLDER"
        raise typer.BadParameter(f"{error}{advice}", param_hint=hint) from error


def read_items(items: Sequence[str] | None, bound: Collection[str]) -> list[tuple[MediaKind, str]]:
    """Parse the values of --item: (media type, file) pairs.

    Raises:
        typer.BadParameter: a value is not MODALITY=FILE, or its modality is unknown.
    """
    parsed = []
    for text in items or ():
        name, equals, file = text.partition("=")
        kind = read_modality(name.strip(), bound, hint="--item") if equals else None
        if kind is None:
            raise typer.BadParameter(f"{text!r}: expected MODALITY=FILE", param_hint="--item")
        parsed.append((kind, file))
    return parsed


def query_terms(
    minus: Sequence[str] | None,
    *,
    required: bool = True,
    others: Sequence[tuple[MediaKind, str]] = (),
    **items: Sequence[str] | None,
) -> list[Term]:
    """Return the weighted items of a query: `items` by their media type, and the texts `minus` to subtract.

    Args:
        others: further items with their media types, such as those of packs.

    Raises:
        typer.BadParameter: there is an empty item, or no item if they are `required` or texts are subtracted.
    """
    terms = [({MediaKind(kind).value: item}, 1.0) for kind, given in items.items() for item in given or ()]
    terms += [({kind.value: item}, 1.0) for kind, item in others]
    if not terms and not required and not minus:
        return []
    if not terms:
        raise typer.BadParameter("expected at least one item, such as --text or --image")
    terms += [({MediaKind.TEXT.value: subtracted}, -1.0) for subtracted in minus or ()]
    for item, weight in terms:
        for kind, value in item.items():
            if not value.strip():
                option = "--minus" if weight < 0 else f"--{kind}" if kind in items else "--item"
                raise typer.BadParameter(f"{kind}: expected an item, got an empty one", param_hint=option)
    return terms


def check_hop(hop: float, window: float) -> None:
    """Check the seconds between the starts of windows.

    Raises:
        typer.BadParameter: it is less than `MIN_HOP_SECONDS`, or more than a window.
    """
    from imagebind.windows import MIN_HOP_SECONDS

    if not MIN_HOP_SECONDS <= hop <= window:
        raise typer.BadParameter(
            f"expected {MIN_HOP_SECONDS:g} to {window:g} seconds (--window), got {hop:g}", param_hint="--hop"
        )


def modalities_of(terms: Iterable[Term]) -> set[ModalityType]:
    """Return the modalities of a query's items."""
    return {stored_kind(next(iter(item))).modality for item, _ in terms}


def title_of(terms: Sequence[Term]) -> str:
    """Return the items of a query in one line: "a dog + rain.wav − snow"."""
    names = [(next(iter(item.values())), weight) for item, weight in terms]
    title = " + ".join(name for name, weight in names if weight > 0)
    return title + "".join(f" − {name}" for name, weight in names if weight < 0)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Convert a ValueError, for example of a weighted sum that is zero, to `typer.BadParameter`."""
    try:
        yield
    except ImageBindError:  # some are ValueErrors too
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def output() -> "Console":
    """Return a console for tables on standard output; in a pipe it is wide enough not to wrap paths."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    return console


@contextmanager
def running(task: str, *, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show on a terminal that a task runs and for how long; yield a function that counts finished units."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    text = f"{task}: {{task.completed:,.0f}} {unit}" if unit else task
    columns = (SpinnerColumn(), TextColumn(text), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        number = bar.add_task(task, total=None)
        yield lambda count: bar.update(number, advance=count)


def weights_for(index: "Index", weights: str | None) -> str | None:
    """Return `weights`; if it is None and the small model made the index, return the small model's name."""
    return TINY if weights is None and index.space.model == "imagebind_tiny" else weights


def load_embedder(
    weights: str | None,
    *,
    modalities: Iterable[ModalityType],
    device: str | None,
    dtype: str,
    packs: Sequence[str] | None = None,
) -> "Embedder":
    """Return an embedder with the trunks of `modalities`, leaving out those that a saved model lacks.

    Args:
        packs: the folders of packs, whose modalities are added.

    Raises:
        typer.BadParameter: the device cannot be used, the precision is unknown, or the model has none of the
            trunks.
        CheckpointError: the weights or a pack cannot be found or read.
        SpaceMismatchError: a pack belongs to another model.
    """
    import torch

    from imagebind.checkpoints.factory import HUGE
    from imagebind.device import best_device
    from imagebind.embedder import Embedder

    precisions = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in precisions:
        raise typer.BadParameter(
            f"expected one of {', '.join(precisions)}, got {dtype!r}", param_hint="--dtype"
        )
    modalities = _to_load(modalities, packs or ())
    source = source_of(weights)
    config = config_of(source)
    if source is not None and config is not None:
        modalities = _available(config, modalities, source)
    return Embedder(
        HUGE if source is None else source,
        modalities=modalities,
        dtype=precisions[dtype],
        device=_device(device or best_device()),
        packs=packs or (),
    )


def _to_load(modalities: Iterable[ModalityType], packs: Sequence[str]) -> list[ModalityType]:
    """Return the requested modalities of the model, and one by which the space of each pack is compared."""
    from imagebind.packs import read_pack

    requested = [each for each in modalities if not isinstance(each, BoundModality)]
    for pack in map(read_pack, packs):
        common = [each for each in ModalityType if each.value in pack.space.weights]
        if not {*common} & {*requested}:
            requested += common[:1]
    return requested


def source_of(weights: str | None) -> str | None:
    """Return the path or URI that --model stands for; None for the released model, which is the default."""
    from imagebind.checkpoints import factory

    if weights in (TINY, factory.TINY):
        return str(factory.TINY_FOLDER)
    return None if weights == factory.HUGE else weights


def config_of(source: str | None) -> "ImageBindConfig | None":
    """Return the config of a saved model; None for the released model and for weights without a config.

    Raises:
        CheckpointError: the config cannot be read.
    """
    from imagebind.checkpoints.factory import is_saved_model, saved_config

    return saved_config(source) if source is not None and is_saved_model(source) else None


def _available(
    config: "ImageBindConfig", modalities: Iterable[ModalityType], source: str
) -> list[ModalityType]:
    """Return those of `modalities` that a saved model has; items of other modalities fail one by one."""
    requested = list(modalities)
    available = [modality for modality in requested if modality in config.modalities]
    if not available:
        raise typer.BadParameter(
            f"{source}: expected a trunk for one of {', '.join(sorted(map(str, requested)))}, "
            f"got trunks for {', '.join(config.modalities)}",
            param_hint="--model",
        )
    return available


def _device(name: str) -> "torch.device":
    import torch

    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except Exception as error:  # the type depends on why the device cannot be used
        reason = str(error).partition("\n")[0]
        raise typer.BadParameter(
            f"expected a usable device, got {name!r}: {reason}", param_hint="--device"
        ) from error


def image_format(file: Path, *, hint: str) -> str:
    """Return Pillow's name of the format that the suffix of an output image states.

    Raises:
        typer.BadParameter: the suffix is not an image format's, or the file is a folder.
    """
    form = IMAGE_FORMATS.get(file.suffix.lower())
    if form is None or file.is_dir():
        raise typer.BadParameter(
            f"{file}: expected an image file with a suffix of {', '.join(IMAGE_FORMATS)}", param_hint=hint
        )
    return form


def check_folder(file: Path | None, *, hint: str) -> None:
    """Check that the folder of an output exists and can be written to.

    Raises:
        typer.BadParameter: it does not exist, or cannot be written to.
    """
    if file is None:
        return
    folder = file.parent
    if not folder.is_dir():
        raise typer.BadParameter(f"{file}: expected an existing folder, got {folder}", param_hint=hint)
    if not os.access(folder, os.W_OK):
        expected = "expected a folder that can be written to"
        raise typer.BadParameter(f"{file}: {expected}, got {folder}", param_hint=hint)


def check_not_an_input(file: Path | None, inputs: Iterable[str | os.PathLike[str]], *, hint: str) -> None:
    """Check that an output does not replace an input.

    Raises:
        typer.BadParameter: it is the same file.
    """
    if file is None or not file.exists():
        return
    for given in map(Path, inputs):
        if given.exists() and given.samefile(file):
            raise typer.BadParameter(f"{file}: expected another file than the input", param_hint=hint)


def files_of(terms: Iterable[Term]) -> list[str]:
    """Return the files of a query's items."""
    return [value for item, _ in terms for kind, value in item.items() if kind != MediaKind.TEXT]
