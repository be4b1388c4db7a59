"""`imagebind moments`: find where in a long recording a query fits."""

import json
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.files import Maps, read_maps, request_of
from imagebind.cli.options import (
    Audio,
    BatchSize,
    Depth,
    Device,
    Dtype,
    Images,
    Imu,
    Items,
    Minus,
    Packs,
    Texts,
    Thermal,
    Videos,
    Weights,
    check_folder,
    check_hop,
    check_not_an_input,
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
from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from imagebind.applications.moments import Moment
    from imagebind.intake.mapping import PathMapping
    from imagebind.intake.requests import Request

PLOT_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
STREAMS = (MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMU)


def moments(
    recording: Annotated[
        str, typer.Argument(help="A video, an audio file or an IMU file of any length, by path or URI.")
    ],
    text: Texts = None,
    image: Images = None,
    video: Videos = None,
    audio: Audio = None,
    depth: Depth = None,
    thermal: Thermal = None,
    imu: Imu = None,
    item: Items = None,
    minus: Minus = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Maximum number of moments.")] = 5,
    only: Annotated[
        list[MediaKind] | None,
        typer.Option(help="Search only this stream: video (the images), audio or imu; repeatable."),
    ] = None,
    with_imu: Annotated[
        str | None, typer.Option(metavar="FILE", help="An IMU file recorded at the same time.")
    ] = None,
    maps: Maps = None,
    imu_offset: Annotated[
        float | None,
        typer.Option(
            help="Second of the recording at which the IMU file starts; may be negative; default 0."
        ),
    ] = None,
    window: Annotated[
        float,
        typer.Option(
            help="Length of a window, in seconds; extended to a clip of the model if that is longer."
        ),
    ] = 2.0,
    hop: Annotated[float, typer.Option(help="Seconds between the starts of windows, at least 0.04.")] = 0.5,
    cut: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write each moment to a file in this folder.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Write a plot of the scores over time.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each moment.")] = False,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch_size: BatchSize = 32,
) -> None:
    """Find where in a long recording a query fits. Several items are summed; --minus subtracts a text.

    ```
    imagebind moments video.mp4 --text "a dog barks" --top 5
    imagebind moments video.mp4 --audio bark.wav --only audio --cut clips/ --plot timeline.png
    imagebind moments ride.mp4 --with-imu ride.csv --imu-offset 1.5 --text "a bump in the road" --json
    ```

    By default the images and the audio of a video are searched together, and the IMU file if one is given.
    Scores are in standard deviations over the recording's own windows.
    """
    terms = query_terms(
        minus,
        others=read_items(item, read_packs(packs)),
        text=text,
        image=image,
        video=video,
        audio=audio,
        depth=depth,
        thermal=thermal,
        imu=imu,
    )
    if not 0 < window < math.inf:
        raise typer.BadParameter(f"expected finite seconds above 0, got {window:g}", param_hint="--window")
    if imu_offset is not None and with_imu is None:
        raise typer.BadParameter("expected also the IMU file, --with-imu", param_hint="--imu-offset")
    if with_imu is not None and only and MediaKind.IMU not in only:
        raise typer.BadParameter(f"expected imu among --only, got {', '.join(only)}", param_hint="--with-imu")
    with importing():
        import torch  # noqa: F401

        from imagebind.applications.moments import find_moments, score_curve
        from imagebind.applications.streams import embed_recording
        from imagebind.io.store_path import as_path
        from imagebind.query import to_query
        from imagebind.windows import MIN_HOP_SECONDS

    if window < MIN_HOP_SECONDS:
        raise typer.BadParameter(
            f"expected at least {MIN_HOP_SECONDS:g} seconds, got {window:g}", param_hint="--window"
        )
    check_hop(hop, window)
    mappings = read_maps(maps)
    file = as_path(recording)
    request = _recording(file, mappings)
    imu_request = (
        None if with_imu is None else request_of(as_path(with_imu), mappings, modality=MediaKind.IMU)
    )
    if imu_request is not None and imu_request.kind is not MediaKind.IMU:
        raise typer.BadParameter(f"{with_imu}: expected imu, got {imu_request.kind}", param_hint="--map")
    if imu_request is not None and request.kind is MediaKind.IMU:
        raise typer.BadParameter(
            f"{recording}: expected a video or audio recording, got imu", param_hint="--with-imu"
        )
    _check_output(request, cut, plot)

    used = modalities_of(terms) | {kind.modality for kind in only or STREAMS}
    embedder = load_embedder(weights, modalities=used, device=device, dtype=dtype, packs=packs)
    with usage_errors():
        query = to_query(terms, embedder, embed_dim=embedder.embed_dim).vector
        with running("Embedding", unit="windows") as progress:
            vectors = embed_recording(
                embedder,
                request,
                imu=imu_request,
                imu_offset=imu_offset or 0.0,
                streams=only or None,
                window_seconds=window,
                hop_seconds=hop,
                batch_size=batch_size,
                progress=progress,
            )
    found = find_moments(vectors, query, top=top)
    clips: Sequence[Path | None] = [None] * len(found)
    if cut is not None:
        from imagebind.applications.cut import cut_moments

        clips = [clip.path for clip in cut_moments(file, found, cut)]
    if plot is not None:
        from imagebind.plot import timeline

        figure = timeline(score_curve(vectors, query), found, title=title_of(terms))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the font lacks a character of the query
            figure.savefig(plot)
    if as_json:
        for moment, clip in zip(found, clips, strict=True):
            typer.echo(json.dumps(_record(moment, file, clip), ensure_ascii=False))
    else:
        _print_moments(found, clips)


def _recording(file: Path, mappings: "Sequence[PathMapping]") -> "Request":
    """Return the request of the recording.

    Raises:
        MediaError: it cannot be read, is not a recording, or its media type is ambiguous.
    """
    expected = "a video, audio or IMU recording"
    try:
        request = request_of(file, mappings)
    except AmbiguousMediaError as error:
        if {*error.kinds} & {*STREAMS}:
            raise
        raise MediaError(error.item, got=error.got, expected=expected) from error
    if request.kind not in STREAMS:
        raise MediaError(str(file), got=str(request.kind), expected=expected)
    return request


def _check_output(recording: "Request", cut: Path | None, plot: Path | None) -> None:
    """Check before the recording is embedded that the results can be written."""
    if cut is not None:
        if recording.kind not in (MediaKind.VIDEO, MediaKind.AUDIO):
            raise typer.BadParameter("expected a video or an audio file to cut", param_hint="--cut")
        try:
            cut.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise typer.BadParameter(
                f"{cut}: expected a folder ({error.strerror})", param_hint="--cut"
            ) from error
        if not os.access(cut, os.W_OK):
            raise typer.BadParameter(f"{cut}: expected a folder that can be written to", param_hint="--cut")
        from imagebind.applications.cut import earlier_clips

        if earlier := earlier_clips(Path(recording.payload), cut):
            raise typer.BadParameter(
                f"{cut}: expected a folder without clips of {Path(recording.payload).name}, got "
                f"{earlier[0].name}; delete the clips, or name another folder",
                param_hint="--cut",
            )
    if plot is not None:
        check_folder(plot, hint="--plot")
        if plot.suffix.lower() not in PLOT_SUFFIXES or plot.is_dir():
            raise typer.BadParameter(
                f"{plot}: expected a file with a suffix of {', '.join(PLOT_SUFFIXES)}", param_hint="--plot"
            )
        check_not_an_input(plot, [recording.payload], hint="--plot")


def _record(moment: "Moment", recording: Path, clip: Path | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "path": str(recording),
        "start": round(moment.start, 3),
        "end": round(moment.end, 3),
        "peak": round(moment.peak, 3),
        "score": round(moment.score, 4),
        "streams": {kind.value: round(score, 4) for kind, score in moment.stream_scores.items()},
    }
    return record if clip is None else {**record, "clip": str(clip)}


def _print_moments(moments: "Sequence[Moment]", clips: Sequence[Path | None]) -> None:
    from rich.table import Table
    from rich.text import Text

    kinds = list(moments[0].stream_scores) if moments else []
    columns = [kind.value for kind in kinds] if len(kinds) > 1 else []
    has_clips = any(clips)
    table = Table("start", "end", "score", *columns, *(["clip"] if has_clips else []), box=None)
    for moment, clip in zip(moments, clips, strict=True):
        scores = [f"{moment.stream_scores[kind]:.2f}" for kind in kinds] if columns else []
        path = [Text(str(clip), overflow="fold")] if has_clips else []
        table.add_row(f"{moment.start:.1f}", f"{moment.end:.1f}", f"{moment.score:.2f}", *scores, *path)
    output().print(table if moments else "nothing found")
