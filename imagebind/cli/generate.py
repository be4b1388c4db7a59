"""`imagebind generate`: images from items of any media type, or a weighted sum of them."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.options import (
    Audio,
    Depth,
    Device,
    Images,
    Imu,
    Items,
    Minus,
    Packs,
    Term,
    Texts,
    Thermal,
    Videos,
    Weights,
    check_folder,
    check_not_an_input,
    files_of,
    image_format,
    load_embedder,
    modalities_of,
    query_terms,
    read_items,
    read_packs,
    usage_errors,
)
from imagebind.cli.startup import importing
from imagebind.modality import MediaKind, media_kind

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagebind.applications.generation import Decoder
    from imagebind.embedder import Embedder

_OPTION_NAMES = {  # argument of Stable unCLIP -> its option
    "init_image": "--init",
    "strength": "--strength",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "noise_level": "--noise-level",
    "height": "--size",
    "width": "--size",
    "batch_size": "--batch-size",
    "offload": "--offload",
}


def generate(
    out: Annotated[Path, typer.Option(help="The image file to write; its suffix sets the format.")],
    text: Texts = None,
    image: Images = None,
    video: Videos = None,
    audio: Audio = None,
    depth: Depth = None,
    thermal: Thermal = None,
    imu: Imu = None,
    item: Items = None,
    minus: Minus = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=NUMBER", help="Weight of a media type's items, such as audio=0.5; default 1."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the first image.")] = 0,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Number of images, in numbered files.")
    ] = 1,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write all images to one file, as a grid.")] = False,
    decoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder or Hugging Face repository of Stable unCLIP. By default the decoder of the model: "
            "that of this package for imagebind_tiny, sd2-community/stable-diffusion-2-1-unclip for "
            "imagebind_huge.",
        ),
    ] = None,
    init: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Stable unCLIP: an image to start from.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much to change the image of --init, above 0 to 1; default 0.8.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stable unCLIP: denoising steps; default 20.")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="Stable unCLIP: strength of classifier-free guidance; default 10.")
    ] = None,
    noise_level: Annotated[
        int | None, typer.Option(help="Stable unCLIP: noise added to the embedding, 0 to 999; default 0.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Stable unCLIP: side of an image in pixels, a multiple of 8; default 768."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Stable unCLIP: images per batch; default 4.")
    ] = None,
    offload: Annotated[
        bool, typer.Option("--offload", help="Stable unCLIP: keep only the component in use on the GPU.")
    ] = False,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Precision of the weights: float32, bfloat16 or float16. By default float32; for Stable "
            "unCLIP on a GPU float16."
        ),
    ] = None,
) -> None:
    """Generate images from items of any media type. Several items are summed; --minus subtracts a text.

    ```
    imagebind generate --model tiny --audio bell.wav --text "a red star" --out bell.png
    imagebind generate --audio rain.wav --text "at night" --out rain.png --seed 1 --count 4
    imagebind generate --image dog.jpg --audio rain.wav --weight audio=0.6 --decoder FOLDER --out dog.png
    ```

    imagebind_huge needs `pip install 'imagebind[generate]'` and the weights of Stable unCLIP. The small model
    needs nothing else, and generates the coloured shapes of its toy world.
    """
    terms = _weighted(
        query_terms(
            minus,
            others=read_items(item, read_packs(packs)),
            text=text,
            image=image,
            video=video,
            audio=audio,
            depth=depth,
            thermal=thermal,
            imu=imu,
        ),
        weight or (),
    )
    files = _output_files(out, 1 if sheet else count)
    for file in files:
        check_not_an_input(file, [*files_of(terms), *([init] if init else [])], hint="--out")
    unclip_options = {
        "init_image": init,
        "strength": strength,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "noise_level": noise_level,
        "height": size,
        "width": size,
        "batch_size": batch_size,
    }
    chosen = {name: value for name, value in unclip_options.items() if value is not None}
    if strength is not None and init is None:
        raise typer.BadParameter("expected --init, the image to start from", param_hint="--strength")
    with importing():
        from imagebind.applications.generation import contact_sheet
        from imagebind.applications.generation import generate as generate_images
        from imagebind.query import to_query
    embedder = load_embedder(
        weights, modalities=modalities_of(terms), device=device, dtype=dtype or "float32", packs=packs
    )
    with usage_errors():
        # Before the decoder is loaded, which may be large.
        vector = to_query(terms, embedder, embed_dim=embedder.embed_dim).vector
        images = generate_images(
            embedder,
            vector,
            decoder=_decoder(decoder, embedder, chosen, dtype=dtype, offload=offload),
            count=count,
            seed=seed,
        )
    _save([contact_sheet(images)] if sheet else images, files)


def _weighted(terms: Sequence[Term], weights: Sequence[str]) -> list[Term]:
    """Return the items with the weights of --weight; subtracted items keep theirs.

    Raises:
        typer.BadParameter: a value is not TYPE=NUMBER or not finite, a media type has two weights or no item,
            or no item has a positive weight.
    """
    weight_of: dict[str, float] = {}
    added = {kind for item, weight in terms if weight > 0 for kind in item}
    for text in weights:
        kind, _, number = text.partition("=")
        try:
            weight = float(number)
            kind = media_kind(kind, added).value
        except ValueError:
            raise typer.BadParameter(
                f"expected TYPE=NUMBER, a TYPE of {', '.join(MediaKind)}, got {text!r}", param_hint="--weight"
            ) from None
        if not math.isfinite(weight):
            raise typer.BadParameter(f"expected a finite number, got {text!r}", param_hint="--weight")
        if kind not in added:
            raise typer.BadParameter(f"{text!r}: expected --{kind}, got none", param_hint="--weight")
        if kind in weight_of:
            raise typer.BadParameter(f"expected one weight of {kind}, got two", param_hint="--weight")
        weight_of[kind] = weight
    weighted = [
        (item, weight_of.get(next(iter(item)), weight) if weight > 0 else weight) for item, weight in terms
    ]
    if weights and not any(weight > 0 for _, weight in weighted):
        raise typer.BadParameter(
            f"expected an item with a weight above 0, got {', '.join(weights)}", param_hint="--weight"
        )
    return weighted


def _output_files(out: Path, count: int) -> list[Path]:
    """Return the files to write: `out`, or numbered files beside it.

    Raises:
        typer.BadParameter: `out` is a folder or has no image suffix, or its folder does not exist
            or cannot be written to.
    """
    image_format(out, hint="--out")
    check_folder(out, hint="--out")
    if count == 1:
        return [out]
    digits = len(str(count))
    return [out.with_stem(f"{out.stem}-{number:0{digits}}") for number in range(1, count + 1)]


def _decoder(
    source: str | None, embedder: "Embedder", options: Mapping[str, Any], *, dtype: str | None, offload: bool
) -> "Decoder":
    """Return the decoder with its options.

    Raises:
        typer.BadParameter: options of Stable unCLIP are given for another decoder, or are out of range.
        ImageBindError: the model has no decoder, or the decoder cannot be loaded or is for another space.
    """
    import torch

    from imagebind.applications.generation import decoder_of, takes_unclip
    from imagebind.applications.unclip_files import REPOSITORY, load_unclip
    from imagebind.transforms.image import load_image

    if source is None and not takes_unclip(embedder):
        if options or offload:
            raise typer.BadParameter(
                "the decoder of this model has no options; pass --decoder, a folder of Stable unCLIP",
                param_hint=_OPTION_NAMES[next(iter(options), "offload")],
            )
        return decoder_of(embedder)
    if "init_image" in options:
        options = {**options, "init_image": load_image(options["init_image"])}
    with usage_errors():
        loaded = load_unclip(
            source or REPOSITORY,
            device=embedder.device,
            dtype=None if dtype is None else getattr(torch, dtype),
            offload=offload,
            embed_dim=embedder.embed_dim,
        )
        return replace(loaded, show_progress_bar=sys.stderr.isatty(), **options)


def _save(images: "Sequence[Image]", files: Sequence[Path]) -> None:
    from imagebind.io.atomic import replacing_all

    with replacing_all() as temporary_for:
        for image, path in zip(images, files, strict=True):
            image.save(temporary_for(path), format=image_format(path, hint="--out"))
    for path in files:
        typer.echo(path)
