"""`imagebind detect`: find boxes in an image or a video that match texts and files of any media type."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.options import (
    Audio,
    Depth,
    Device,
    Dtype,
    Images,
    Imu,
    Items,
    Minus,
    Packs,
    Term,
    Thermal,
    Videos,
    Weights,
    check_not_an_input,
    files_of,
    image_format,
    load_embedder,
    modalities_of,
    output,
    query_terms,
    read_items,
    read_packs,
    title_of,
    usage_errors,
)
from imagebind.cli.startup import importing
from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType

if TYPE_CHECKING:
    from PIL import Image

    from imagebind.applications.boxes import ImageDetections
    from imagebind.applications.video_detection import Frame
    from imagebind.embedder import Embedder

DETECTOR_SUFFIXES = (".pth", ".pt")


def detect(
    path: Annotated[str, typer.Argument(help="An image or a video, by path or URI.")],
    text: Annotated[
        list[str] | None, typer.Option(help="A text; repeatable, like most options. Each item is a query.")
    ] = None,
    image: Images = None,
    video: Videos = None,
    audio: Audio = None,
    depth: Depth = None,
    thermal: Thermal = None,
    imu: Imu = None,
    item: Items = None,
    minus: Minus = None,
    together: Annotated[
        bool, typer.Option("--together", help="Add all items to one query, instead of one query per item.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw boxes and maps to this image file; if PATH is a video, a video file."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the detections as COCO JSON.")
    ] = None,
    proposals: Annotated[
        str | None,
        typer.Option(
            help="Boxes to examine: a COCO or csv file, or weights (.pth) of a torchvision detector."
        ),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="The name of the detector; by default maskrcnn_resnet50_fpn.")
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(help="A background text for text queries, instead of the default ones; repeatable."),
    ] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a detection.")] = 0.5,
    temperature: Annotated[
        float | None, typer.Option(help="Divides cosines before the softmax; by default that of the model.")
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Largest number of boxes per query.")] = 20,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames to examine per second of a video.")] = 2.0,
    own_sound: Annotated[
        bool, typer.Option("--own-sound", help="Also find the source of the video's own audio.")
    ] = False,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Find boxes in an image or a video that match texts, audio and other files.

    ```
    imagebind detect street.jpg --audio bark.wav --text "a red car" --out found.png --json found.json
    imagebind detect street.jpg --text "a dog" --minus grass --proposals maskrcnn.pth
    imagebind detect film.mp4 --own-sound --out overlay.mp4
    ```

    The score is the probability that a box shows the query rather than the background. The tint of --out
    marks the parts of the image that are more similar to a query than the other parts.
    """
    terms = query_terms(
        minus,
        required=not own_sound,
        others=read_items(item, read_packs(packs)),
        text=text,
        image=image,
        video=video,
        audio=audio,
        depth=depth,
        thermal=thermal,
        imu=imu,
    )
    for file, hint in ((out, "--out"), (json_file, "--json")):
        _check_folder(file)
        check_not_an_input(file, [path, *files_of(terms)], hint=hint)
    if json_file is not None and json_file.is_dir():
        raise typer.BadParameter(f"{json_file}: expected a file, got a folder", param_hint="--json")
    if temperature is not None and not temperature > 0:
        raise typer.BadParameter(f"expected more than 0, got {temperature:g}", param_hint="--temperature")
    with importing():
        import torch  # noqa: F401

        from imagebind.applications.coco import to_coco
        from imagebind.intake.requests import identify
        from imagebind.io.store_path import as_path

    source = as_path(path)
    kind = identify(source).kind
    if kind not in (MediaKind.IMAGE, MediaKind.VIDEO):
        raise MediaError(path, got=str(kind), expected="an image or a video")
    if out is not None and kind is MediaKind.IMAGE:
        image_format(out, hint="--out")
    elif out is not None and out.is_dir():
        raise typer.BadParameter(f"{out}: expected a video file, got a folder", param_hint="--out")
    if own_sound and kind is not MediaKind.VIDEO:
        raise typer.BadParameter(f"expected a video, got an image, {path}", param_hint="--own-sound")
    options = {
        "proposals": _proposals(proposals, detector, device),
        "backgrounds": {MediaKind.TEXT: background} if background else None,
        "temperature": temperature,
        "threshold": threshold,
        "max_detections": top,
    }
    used = {ModalityType.VISION, *modalities_of(terms)}
    used |= {ModalityType.AUDIO} if own_sound else set()
    embedder = load_embedder(weights, modalities=used, device=device, dtype=dtype, packs=packs)
    queries = _queries(terms, together=together)
    with usage_errors():
        if kind is MediaKind.IMAGE:
            found = [_in_image(embedder, source, queries, options, out)]
        else:
            found = _in_video(embedder, source, queries, options | {"own_sound": own_sound}, out, fps)
    if json_file is not None:
        from imagebind.io.atomic import replacing

        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(to_coco(found), ensure_ascii=False) + "\n", encoding="utf-8")
    _print_table(found)


def _queries(terms: Sequence[Term], *, together: bool) -> Any:
    """Return one query per item, or with `together` one of all; each includes the subtracted texts."""
    added = [term for term in terms if term[1] > 0]
    if len(added) == len(terms) and not together:
        return [item for item, _ in terms]
    subtracted = [term for term in terms if term[1] < 0]
    groups = [added] if together else [[term] for term in added]
    return {title_of([*group, *subtracted]): [*group, *subtracted] for group in groups}


def _check_folder(file: Path | None) -> None:
    """Check before a model is loaded that a file can be written."""
    if file is None:
        return
    folder = file.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{file}: expected an existing folder, got {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{file}: expected a folder that can be written to, got {folder}")


def _proposals(given: str | None, detector: str | None, device: str | None) -> Any:
    """Return the value of --proposals as `detect` takes it."""
    if given is None or not given.lower().endswith(DETECTOR_SUFFIXES):
        if detector is not None:
            raise typer.BadParameter(
                "expected also its weights, --proposals FILE.pth", param_hint="--detector"
            )
        return given
    from imagebind.applications.proposals import DETECTOR, torchvision_detector

    try:
        return torchvision_detector(given, name=detector or DETECTOR, device=device or "cpu")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--detector") from error


def _in_image(
    embedder: "Embedder", source: Path, queries: Any, options: dict[str, Any], out: Path | None
) -> "ImageDetections":
    """Detect queries in an image, and write the image with the detections to the file `out`."""
    import numpy as np

    from imagebind.applications.boxes import ImageDetections, as_image
    from imagebind.applications.dense import similarity_maps
    from imagebind.applications.detection import detect as detect_in_image
    from imagebind.applications.detection import detection_queries

    backgrounds, temperature = options.pop("backgrounds"), options.pop("temperature")
    image, _ = as_image(source)
    prepared = detection_queries(embedder, queries, backgrounds=backgrounds, temperature=temperature)
    maps = None
    if out is not None or options["proposals"] is None:
        maps = similarity_maps(embedder, image, np.stack([query.vector for query in prepared]))
    names = [query.name for query in prepared]
    detections = detect_in_image(embedder, image, prepared, maps=maps, name=str(source), **options)
    if out is not None:
        from imagebind.applications.overlay import draw

        _save(draw(image, detections, queries=names, maps=maps), out)
    return ImageDetections(
        name=source.name, width=image.width, height=image.height, queries=names, detections=detections
    )


def _in_video(
    embedder: "Embedder",
    source: Path,
    queries: Any,
    options: dict[str, Any],
    out: Path | None,
    fps: float,
) -> "list[ImageDetections]":
    """Detect queries in the frames of a video, and write the frames with the detections to `out`."""
    from imagebind.applications.overlay import draw
    from imagebind.applications.video_detection import detect_video, write_video

    found = []

    def seen(frames: "Iterator[Frame]") -> "Iterator[Image.Image]":
        for frame in frames:
            found.append(frame.found)
            yield draw(frame.image, frame.found.detections, queries=frame.found.queries, maps=frame.maps)

    frames = detect_video(embedder, source, queries, frames_per_second=fps, **options)
    if out is None:
        found += [frame.found for frame in frames]
    else:
        write_video(out, seen(frames), frames_per_second=fps)
    return found


def _save(image: "Image.Image", path: Path) -> None:
    from imagebind.io.atomic import replacing

    with replacing(path) as temporary:
        image.save(temporary, image_format(path, hint="--out"))


def _print_table(found: "Sequence[ImageDetections]") -> None:
    from rich.table import Table
    from rich.text import Text

    console = output()
    if not any(image.detections for image in found):
        console.print("nothing found; try a lower --threshold", soft_wrap=True)
        return
    is_video = found[0].seconds is not None
    columns = ("seconds", "track") if is_video else ()
    table = Table(*columns, "score", "cosine", "left", "top", "right", "bottom", "query", box=None)
    for image in found:
        for each in image.detections:
            at = (f"{image.seconds:.2f}", str(each.track)) if is_video else ()
            edges = (f"{value:.0f}" for value in each.box)
            name = Text(each.query, overflow="fold")
            table.add_row(*at, f"{each.score:.2f}", f"{each.cosine:.3f}", *edges, name)
    console.print(table)
