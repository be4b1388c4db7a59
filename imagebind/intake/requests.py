"""Convert a user's item to the tensor that a trunk takes.

`identify` determines the media type, reading only what it needs; `prepare` loads and transforms the item.
"""

import codecs
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, cast

from PIL import Image
from torch import Tensor

from imagebind.errors import AmbiguousMediaError, ImageBindError, MediaError, collect_warnings
from imagebind.io.source import (
    encodable,
    foreign_errors_of,
    is_source,
    is_unnamed,
    name_of,
    open_source,
    shortened,
)
from imagebind.media.audio_items import rate_name, samples_name, states_rate, stored_source, unpack_audio
from imagebind.media.clips import Span
from imagebind.media.decoders import is_decoder, is_video_decoder
from imagebind.media.detect import deep_gray_error, detect
from imagebind.media.image_file import is_deep_gray
from imagebind.modality import BoundModality, MediaKind, ModalityType

logger = logging.getLogger(__name__)

MAX_TEXT_BYTES = 2**20  # of a text file; only the first words fit the model
MAX_TEXT_NAME_CHARACTERS = 60  # characters of a text that name it in a report
PACKS_HINT = "Embedder(..., packs=[folder])"
# Options that give the times of samples or frames; they are not fields of a transform.
_CLOCK_OPTIONS = {MediaKind.AUDIO: ["rate"], MediaKind.VIDEO: ["fps"], MediaKind.IMU: ["timestamps"]}


class Transform(Protocol):
    """Converts an item to one or more views. `with_spans`, if there is one, also returns each clip's time."""

    def __call__(self, item: Any, /) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """An item of a known media type: the payload to transform, and the options that the user gave with it."""

    kind: MediaKind
    payload: Any
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Views:
    """The input of a trunk for one item: `views` (s, ...), one for an image and several for a video.

    `spans` are the start and end in seconds of each clip or window of a recording, empty for other items; the
    views of one span are adjacent. `warnings` lists problems while reading the item. A caller may keep data
    derived from the views in `inspected`.
    """

    kind: MediaKind
    views: Tensor
    spans: tuple[tuple[float, float], ...] = ()
    warnings: tuple[str, ...] = ()
    inspected: Any = None


def default_transform(kind: MediaKind) -> Transform:
    """Return the transform of a media type, with the released options where there are any.

    Transforms are imported here because torchvision, which text does not need, takes seconds to import.
    """
    match kind:
        case MediaKind.IMAGE:
            from imagebind.transforms.image import ImageTransform

            return ImageTransform()
        case MediaKind.VIDEO:
            from imagebind.transforms.video import VideoTransform

            return VideoTransform()
        case MediaKind.TEXT:
            from imagebind.transforms.text import Tokenizer

            return Tokenizer()
        case MediaKind.AUDIO:
            from imagebind.transforms.audio import AudioTransform

            return AudioTransform()
        case MediaKind.DEPTH:
            from imagebind.transforms.depth import DepthTransform

            return DepthTransform()
        case MediaKind.THERMAL:
            from imagebind.transforms.thermal import ThermalTransform

            return ThermalTransform()
        case MediaKind.IMU:
            from imagebind.transforms.imu import ImuTransform

            return ImuTransform()


def identify(
    item: Any,
    *,
    modality: ModalityType | MediaKind | str | None = None,
    bound: Collection[BoundModality] = (),
) -> Request:
    """Determine the media type of an item.

    A str is text, unless `modality` names another type: then it is a path. The content determines the type of
    a path, bytes or an open file. A PIL image is an image; with one channel of 16 bits or floats it is
    ambiguous, as its file would be. A mapping has the type as a key, with options as other keys: {"depth":
    array, "focal": 518.9}, {"imu": array, "rate": 200}, {"audio": "clip.mp4"}. Audio may also be (samples,
    rate) or (rate, samples). Rows of Hugging Face's `datasets`, decoded {"array": …, "sampling_rate": …,
    "path": …} or not {"bytes": …, "path": …}, and decoders of torchcodec and decord are accepted too. A
    `Request` is returned unchanged.

    `bound` are the modalities of packs, named by `modality` or by the key of a mapping; a str is then a path.

    Raises:
        AmbiguousMediaError: without a given type, the item is an array, or a file or image of several
            possible types.
        MediaError: the item is none of these, a file that cannot be read or has no known type, or a mapping
            without exactly one type or with another one than `modality`.
        ValueError: `modality` is unknown.
    """
    if isinstance(item, Request):
        return item
    for kind_of_pack in bound:
        if modality == kind_of_pack or (isinstance(item, Mapping) and kind_of_pack in item):
            return _from_pack(item, kind_of_pack, modality)
    if isinstance(item, Mapping):
        return _from_mapping(item, modality)
    kind = _kind_named(modality, bound)
    if kind is not None:
        return _request(_image_or_video(kind, item, modality), item)
    if isinstance(item, str):
        return _request(MediaKind.TEXT, item)
    if isinstance(item, Image.Image):
        if is_deep_gray(item):
            raise deep_gray_error(name_of(item), item)
        return _request(MediaKind.IMAGE, item)
    if is_source(item):
        return _request(detect(item), item)
    if is_decoder(item):
        return _request(MediaKind.VIDEO if is_video_decoder(item) else MediaKind.AUDIO, item)
    hint = "pass {'vision': x}, {'audio': x, 'rate': hz}, {'depth': x}, …, or modality="
    if hasattr(item, "shape"):
        raise AmbiguousMediaError(
            name_of(item), got="an array of unknown modality", expected="a media type", hint=hint
        )
    raise MediaError(
        name_of(item),
        got=type(item).__name__,
        expected="text (str), a pathlib.Path, bytes, a file, a decoder, a PIL image, "
        "or a mapping {modality: item}",
    )


def _request(kind: MediaKind, payload: Any, options: Mapping[str, Any] | None = None) -> Request:
    path = payload.get("path") if isinstance(payload, Mapping) else None
    if kind is MediaKind.AUDIO:
        payload = unpack_audio(payload)
    name = _item_name(payload if path is None else path, kind)
    return Request(kind=kind, payload=payload, name=name, options=options or {})


def prepare(request: Request, transform: Transform, *, spans: Sequence[Span] | None = None) -> Views:
    """Load and transform one item; an error caused by the item is a `MediaError` that names it.

    `spans` are the clips to cut from a recording, instead of those that the transform would choose.

    Raises:
        MediaError: the item cannot be read, or an option is unknown to its transform or has a wrong value.
        MissingExtraError: the transform needs a package that is not installed.
    """
    try:
        with collect_warnings() as warnings, foreign_errors_of(request.name):
            views = _prepare(request, transform, spans)
        for warning in warnings:
            logger.warning("%s: %s", request.name, warning)
        return replace(views, warnings=tuple(warnings))
    except MediaError as error:
        if is_unnamed(error.item) and not is_unnamed(request.name):  # the transform did not know the name
            raise error.renamed(request.name) from error
        raise
    except ImageBindError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:  # such as an option that is NaN
        options = ", ".join(f"{key}={value!r}" for key, value in request.options.items()) or "no options"
        raise MediaError(
            request.name,
            got=f"{request.kind} with {options} ({error})",
            expected=f"options that {type(transform).__name__} accepts",
        ) from error


def _prepare(request: Request, transform: Transform, given_spans: Sequence[Span] | None) -> Views:
    options = dict(request.options)
    payload = request.payload
    if request.kind is MediaKind.TEXT:
        payload = _read_text(payload)
    elif request.kind is MediaKind.AUDIO and "rate" in options:
        payload = (payload, options.pop("rate"))
    elif request.kind is MediaKind.VIDEO and "fps" in options:
        payload = (payload, options.pop("fps"))
    elif request.kind is MediaKind.IMU and "timestamps" in options:
        payload = {"imu": payload, "timestamps": options.pop("timestamps")}
    transform = _with_options(transform, options, request)
    if hasattr(transform, "with_spans"):
        views, spans = transform.with_spans(payload, *([] if given_spans is None else [given_spans]))
        return Views(kind=request.kind, views=views, spans=tuple(spans))
    views = transform(payload)  # text: (1, l), others (...)
    return Views(kind=request.kind, views=views if request.kind is MediaKind.TEXT else views.unsqueeze(0))


def _with_options(transform: Transform, options: dict[str, Any], request: Request) -> Transform:
    known: list[str] = (
        [choice.name for choice in fields(transform) if choice.init] if is_dataclass(transform) else []
    )
    unknown = sorted(set(options) - set(known))
    if unknown:
        named = ", ".join(_CLOCK_OPTIONS.get(request.kind, []) + known)
        raise MediaError(
            request.name, got=", ".join(unknown), expected=f"options of {request.kind} ({named})"
        )
    return replace(transform, **options) if options else transform  # type: ignore[type-var]


def _from_mapping(item: Mapping[str, Any], modality: ModalityType | MediaKind | str | None) -> Request:
    names = {*(kind.value for kind in MediaKind), ModalityType.VISION.value}
    given = [key for key in item if key in names]
    if not given and (request := _from_row(item, modality)) is not None:
        return request
    if len(given) != 1:
        raise MediaError(
            f"<mapping with {', '.join(map(str, item)) or 'nothing'}>",
            got=f"{len(given) or 'no'} media types among its keys",
            expected=f"exactly one of {', '.join(sorted(names))}, and its options",
            hint="" if given else f"a modality of a pack needs {PACKS_HINT}",
        )
    key, vision = given[0], ModalityType.VISION.value
    kind, expected = _kind_named(key), _kind_named(modality)
    assert kind is not None
    one_trunk = expected is not None and expected.modality is kind.modality
    if expected not in (None, kind) and not (one_trunk and vision in (key, str(modality))):
        raise MediaError(
            f"<mapping with {key}>", got=str(kind), expected=f"{expected}, as given by modality="
        )
    payload = _stored_file(item[key])
    options = {str(name): value for name, value in item.items() if name != key}
    if key == vision and expected is not None and str(modality) != vision:
        kind = expected  # more specific than vision
    else:
        kind = _image_or_video(kind, payload, key, fps="fps" in options)
    return _request(kind, payload, _with_rate(kind, payload, options))


def _from_pack(item: Any, kind: BoundModality, modality: ModalityType | MediaKind | str | None) -> Request:
    """Return the request of an item of a bound modality: the payload itself, or a mapping with options."""
    media_type = cast(MediaKind, kind)
    if not isinstance(item, Mapping):
        return _request(media_type, item)
    if kind not in item or modality not in (None, kind):
        name = f"<mapping with {', '.join(map(str, item))}>"
        if kind not in item:
            raise MediaError(name, got="other keys", expected=f"the key {kind}")
        raise MediaError(name, got=str(kind), expected=f"{modality}, as given by modality=")
    return _request(
        media_type, item[kind], {str(name): value for name, value in item.items() if name != kind}
    )


def _from_row(row: Mapping[str, Any], modality: ModalityType | MediaKind | str | None) -> Request | None:
    """Return the request for a row of a data set, which names no modality; None for other mappings."""
    source = stored_source(row)
    if source is not None:
        return identify(source, modality=modality)
    samples, rate = samples_name(row), rate_name(row)
    if samples is None or rate is None or _kind_named(modality) not in (None, MediaKind.AUDIO):
        return None
    options = {name: value for name, value in row.items() if name not in (samples, rate, "path", "bytes")}
    return _request(MediaKind.AUDIO, row, options)


def _stored_file(payload: Any) -> Any:
    """Return the file in an undecoded row of a data set; return anything else unchanged."""
    source = stored_source(payload) if isinstance(payload, Mapping) else None
    return payload if source is None else source


def _with_rate(kind: MediaKind, payload: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, with the key of a recording's rate renamed to `rate`.

    `sample_rate` is also an option of `AudioTransform`. It is the recording's rate only if the samples have
    no other rate.
    """
    rate_key = rate_name(options)
    if kind not in (MediaKind.AUDIO, MediaKind.IMU) or rate_key is None or "rate" in options:
        return options
    if kind is MediaKind.AUDIO and rate_key == "sample_rate" and states_rate(payload):
        return options
    return {"rate" if name == rate_key else name: value for name, value in options.items()}


def _kind_named(
    modality: ModalityType | MediaKind | str | None, bound: Collection[BoundModality] = ()
) -> MediaKind | None:
    if modality is None:
        return None
    if modality in (ModalityType.VISION, ModalityType.VISION.value):
        return MediaKind.IMAGE  # `_image_or_video` decides
    try:
        return MediaKind(str(modality))
    except ValueError:
        names = ", ".join([ModalityType.VISION.value, *(kind.value for kind in MediaKind), *bound])
        hint = "" if bound else f"; a modality of a pack needs {PACKS_HINT}"
        raise ValueError(f"modality: expected one of {names}, got {str(modality)!r}{hint}") from None


def _image_or_video(
    kind: MediaKind, payload: Any, given: ModalityType | MediaKind | str | None, *, fps: bool = False
) -> MediaKind:
    """Return image or video if `vision` was given; a video is a file, a decoder, or frames with a rate."""
    if str(given) != ModalityType.VISION.value:
        return kind
    if isinstance(payload, (tuple, Mapping)) or fps or is_video_decoder(payload):
        return MediaKind.VIDEO
    if not is_source(payload):
        return kind
    try:
        return MediaKind.VIDEO if detect(payload) is MediaKind.VIDEO else kind
    except AmbiguousMediaError:  # a deep grayscale image: the user declared it as vision
        return kind


def _read_text(payload: Any) -> str:
    """Return a str itself, or the first `MAX_TEXT_BYTES` of a text file."""
    if isinstance(payload, str):
        return payload
    if not is_source(payload):
        raise MediaError(
            name_of(payload), got=type(payload).__name__, expected="one text (str), or a file of text"
        )
    with open_source(payload) as file:
        content = file.read(MAX_TEXT_BYTES)
    whole = len(content) < MAX_TEXT_BYTES  # otherwise the last character may be cut
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=whole)
    except UnicodeDecodeError as error:
        raise MediaError(
            name_of(payload), got=f"bytes that are not UTF-8 ({error.reason})", expected="text in UTF-8"
        ) from error


def _item_name(item: Any, kind: MediaKind) -> str:
    """Return the name of an item for reports: a path unchanged, a text truncated."""
    if isinstance(item, str) and kind is MediaKind.TEXT:
        return encodable(shortened(item, MAX_TEXT_NAME_CHARACTERS))
    return name_of(item[0] if isinstance(item, tuple) and item else item)
