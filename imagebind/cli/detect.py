"""`imagebind detect`: find boxes in an image or a video that match texts and files of any media type."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    check_folder,
    check_not_an_input,
    files_of,
    image_format,
    load_embedder,
    modalities_of,
    output,
    query_terms,
    read_items,
    read_packs,
    running,
    title_of,
    usage_errors,
)
from imagebind.cli.startup import importing
from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.modality import MediaKind, ModalityType

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from imagebind.applications.boxes import ImageDetections
    from imagebind.applications.video_detection import Frame
    from imagebind.embedder import Embedder

DETECTOR_SUFFIXES = (".pth", ".pt", ".safetensors")


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
            help="Boxes to examine: a COCO or csv file, or weights (.pth, .pt, .safetensors) of a "
            "torchvision detector."
        ),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="The name of the detector; by default maskrcnn_resnet50_fpn.")
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(help="A background text for text queries, instead of the default ones; repeatable."),
    ] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Minimum score of a detection.")] = 0.5,
    temperature: Annotated[
        float | None, typer.Option(help="Divides cosines before the softmax; by default that of the model.")
    ] = None,
    top: Annotated[
        int, typer.Option("--top", "-k", min=1, help="Maximum number of boxes per query and frame.")
    ] = 20,
    fps: Annotated[
        float | None, typer.Option(min=0.01, help="Frames to examine per second of a video; default 2.")
    ] = None,
    own_audio: Annotated[
        bool, typer.Option("--own-audio", help="Also find the source of the video's own audio.")
    ] = False,
    modality: Annotated[
        MediaKind | None,
        typer.Option(
            "--modality", "-m", help="Media type of PATH, image or video, if it is ambiguous by its content."
        ),
    ] = None,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Find boxes in an image or a video that match texts, audio and other files.

    ```
    imagebind detect street.jpg --audio bark.wav --text "a red car" --out found.png --json found.json
    imagebind detect street.jpg --text "a dog" --minus grass --proposals maskrcnn.pth
    imagebind detect video.mp4 --own-audio --out overlay.mp4
    ```

    The score is the probability that a box shows the query rather than the background. The tint of --out
    marks the parts of the image that are more similar to a query than the other parts.
    """
    terms = query_terms(
        minus,
        required=not own_audio,
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
        check_folder(file, hint=hint)
        check_not_an_input(file, [path, *files_of(terms)], hint=hint)
    if json_file is not None and json_file.is_dir():
        raise typer.BadParameter(f"{json_file}: expected a file, got a folder", param_hint="--json")
    if temperature is not None and not 0 < temperature < math.inf:
        raise typer.BadParameter(
            f"expected a finite number above 0, got {temperature:g}", param_hint="--temperature"
        )
    if background and not any(MediaKind.TEXT.value in item for item, _ in terms):
        raise typer.BadParameter("expected also a query by --text", param_hint="--background")
    with importing():
        import torch  # noqa: F401

        from imagebind.applications.coco import to_coco
        from imagebind.applications.video_detection import FRAMES_PER_SECOND, VIDEO_FORMATS
        from imagebind.io.store_path import as_path

    source = as_path(path)
    kind = _kind_of(source, modality)
    if out is not None and kind is MediaKind.IMAGE:
        image_format(out, hint="--out")
    elif out is not None and (out.is_dir() or out.suffix.lower() not in VIDEO_FORMATS):
        raise typer.BadParameter(
            f"{out}: expected a video file with a suffix of {', '.join(VIDEO_FORMATS)}", param_hint="--out"
        )
    for given, hint in ((own_audio, "--own-audio"), (fps is not None, "--fps")):
        if given and kind is not MediaKind.VIDEO:
            raise typer.BadParameter(f"{path}: expected a video, got an image", param_hint=hint)
    boxes = _proposals(proposals, detector, device, name=str(source))
    options = {
        "proposals": boxes,
        "backgrounds": {MediaKind.TEXT: background} if background else None,
        "temperature": temperature,
        "threshold": threshold,
        "max_detections": top,
    }
    used = {ModalityType.VISION, *modalities_of(terms)}
    used |= {ModalityType.AUDIO} if own_audio else set()
    embedder = load_embedder(weights, modalities=used, device=device, dtype=dtype, packs=packs)
    queries = _queries(terms, together=together)
    with usage_errors(), running("Detecting", unit="" if kind is MediaKind.IMAGE else "frames") as progress:
        if kind is MediaKind.IMAGE:
            found = [_in_image(embedder, source, queries, options, out)]
        else:
            options |= {"own_audio": own_audio, "frames_per_second": fps or FRAMES_PER_SECOND}
            found = _in_video(embedder, source, queries, options, out, progress)
    if json_file is not None:
        from imagebind.io.atomic import replacing

        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(to_coco(found), ensure_ascii=False) + "\n", encoding="utf-8")
    no_boxes = boxes is not None and not boxes.count
    advice = f"{proposals} has no boxes for {source.name}" if no_boxes else "try a lower --threshold"
    _print_table(found, advice=advice)


def _kind_of(source: Path, modality: MediaKind | None) -> MediaKind:
    """Return the media type of a file: image or video.

    Raises:
        typer.BadParameter: `modality` is another media type.
        MediaError: the file has another media type, or an ambiguous one.
    """
    from imagebind.intake.requests import identify

    kinds = (MediaKind.IMAGE, MediaKind.VIDEO)
    if modality is not None and modality not in kinds:
        raise typer.BadParameter(f"expected image or video, got {modality}", param_hint="--modality")
    expected = "an image or a video"
    try:
        kind = identify(source, modality=modality).kind
    except AmbiguousMediaError as error:
        expected += "; to read it as an image: --modality image"
        raise AmbiguousMediaError(error.item, got=error.got, expected=expected, kinds=error.kinds) from error
    if kind not in kinds:
        raise MediaError(str(source), got=str(kind), expected=expected)
    return kind


def _queries(terms: Sequence[Term], *, together: bool) -> Any:
    """Return one query per item, or with `together` one of all; each includes the subtracted texts."""
    added = [term for term in terms if term[1] > 0]
    if len(added) == len(terms) and not together:
        return [item for item, _ in terms]
    subtracted = [term for term in terms if term[1] < 0]
    groups = [added] if together else [[term] for term in added]
    return {title_of([*group, *subtracted]): [*group, *subtracted] for group in groups}


@dataclass(kw_only=True, eq=False)
class _CountedProposals:
    """Proposes boxes for the image `name` by a detector or from a file, and counts them."""

    given: Any
    name: str
    count: int = 0

    def __call__(self, image: "Image.Image") -> "Tensor":
        from imagebind.applications.proposals import boxes_in

        boxes = boxes_in(image, self.given, name=self.name)
        self.count += len(boxes)
        return boxes


def _proposals(
    given: str | None, detector: str | None, device: str | None, *, name: str
) -> _CountedProposals | None:
    """Return the function that the value of --proposals stands for; None if it is not given.

    Raises:
        typer.BadParameter: no detector has this name, or its weights are not given.
        CheckpointError, MediaError: the weights or boxes cannot be read.
    """
    if given is None or not given.lower().endswith(DETECTOR_SUFFIXES):
        if detector is not None:
            raise typer.BadParameter(
                "expected also its weights, --proposals FILE.pth", param_hint="--detector"
            )
        if given is None:
            return None
        from imagebind.applications.coco import read_boxes

        read_boxes(given, name)  # a file that cannot be read fails before the model is loaded
        return _CountedProposals(given=given, name=name)
    from imagebind.applications.proposals import DETECTOR, torchvision_detector

    try:
        propose = torchvision_detector(given, name=detector or DETECTOR, device=device or "cpu")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--detector") from error
    return _CountedProposals(given=propose, name=name)


def _in_image(
    embedder: "Embedder", source: Path, queries: Any, options: dict[str, Any], out: Path | None
) -> "ImageDetections":
    """Detect queries in an image, and write the image with the detections to the file `out`."""
    import numpy as np

    from imagebind.applications.boxes import ImageDetections, as_image, check_aspect_ratio
    from imagebind.applications.dense import similarity_maps
    from imagebind.applications.detection import detect as detect_in_image
    from imagebind.applications.detection import detection_queries

    backgrounds, temperature = options.pop("backgrounds"), options.pop("temperature")
    image, name = as_image(source)
    check_aspect_ratio(image.size, name=name)
    prepared = detection_queries(embedder, queries, backgrounds=backgrounds, temperature=temperature)
    maps = None
    if out is not None or options["proposals"] is None:
        maps = similarity_maps(embedder, image, np.stack([query.vector for query in prepared]))
    names = [query.name for query in prepared]
    detections = detect_in_image(embedder, image, prepared, maps=maps, name=name, **options)
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
    progress: Callable[[int], None],
) -> "list[ImageDetections]":
    """Detect queries in the frames of a video, and write the frames with the detections to `out`."""
    from imagebind.applications.overlay import draw
    from imagebind.applications.video_detection import detect_video, write_video
    from imagebind.media.video_file import open_video

    found = []

    def frames() -> "Iterator[Frame]":
        for frame in detect_video(embedder, source, queries, **options):
            found.append(frame.found)
            progress(1)
            yield frame

    if out is None:
        for _ in frames():
            pass
    else:
        drawn = (
            draw(frame.image, frame.found.detections, queries=frame.found.queries, maps=frame.maps)
            for frame in frames()
        )
        with open_video(source) as video:
            rate = min(options["frames_per_second"], video.info.fps)  # not more frames than the video has
        write_video(out, drawn, frames_per_second=rate)
    return found


def _save(image: "Image.Image", path: Path) -> None:
    from imagebind.io.atomic import replacing

    with replacing(path) as temporary:
        image.save(temporary, image_format(path, hint="--out"))


def _print_table(found: "Sequence[ImageDetections]", *, advice: str) -> None:
    """Print the detections; if there are none, print `advice`."""
    from rich.table import Table
    from rich.text import Text

    console = output()
    if not any(image.detections for image in found):
        console.print(Text(f"nothing found; {advice}"), soft_wrap=True)
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
