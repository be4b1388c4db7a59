"""Determine the media types of a user's files, by mappings or content, and make requests for them."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagebind.errors import AmbiguousMediaError, CompanionMediaError, MediaError, UnknownMediaError
from imagebind.intake.mapping import PathMapping, mapping_for
from imagebind.intake.requests import Request, identify
from imagebind.io.source import name_of
from imagebind.io.store_path import StorePath, as_path, files_below
from imagebind.media.detect import detect
from imagebind.media.discover import FoundFile, absolute_path, discover, stat_file
from imagebind.media.imu_table import refuse_companion
from imagebind.media.paths import path_text
from imagebind.modality import BoundModality, MediaKind, media_kind

# A file with one of these suffixes but without a known media type is a failure, not left out.
MEDIA_SUFFIXES = """
    .jpg .jpeg .jfif .png .apng .gif .bmp .tif .tiff .webp .avif .heic .heif .jp2 .j2k .jxl
    .qoi .ico .ppm .pgm .mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2ts .mts .wmv .flv
    .3gp .ogv .wav .mp3 .flac .ogg .oga .opus .m4a .aac .aif .aiff .wma .au .caf .npy
    .npz .txt .md
""".split()  # noqa: SIM905


class NotMediaError(MediaError):
    """A file without a known media type in content and name, or a part of another file's recording."""


@dataclass(kw_only=True)
class CollectedRequests:
    """Requests for the media files among some paths, and the errors of files that cannot be embedded.

    `not_media` counts, by suffix, files in folders that are not media, or belong to another file's recording.
    """

    requests: list[Request] = field(default_factory=list)
    failures: list[MediaError] = field(default_factory=list)
    not_media: Counter[str] = field(default_factory=Counter)


def collect_requests(
    paths: Iterable[str | os.PathLike[str]],
    *,
    modality: MediaKind | None,
    mappings: Sequence[PathMapping],
    without: Iterable[Path] = (),
    bound: Collection[BoundModality] = (),
) -> CollectedRequests:
    """Make a request for each media file; its type is from a mapping, else `modality`, else its content.

    Paths may be URIs. A given path that is not media is a failure; such files in folders are only counted.

    Args:
        without: files that are left out, such as earlier output.
        bound: the modalities of packs.
    """
    collected = CollectedRequests()
    without = list(without)
    for root in map(as_path, paths):
        for path in expand([root], without=without):
            try:
                collected.requests.append(_request(path, root, modality, mappings, bound))
            except NotMediaError:
                collected.not_media[path.suffix.lower()] += 1
            except MediaError as error:
                collected.failures.append(error.renamed(name_of(path)))
    return collected


def _request(
    path: Path,
    root: Path,
    modality: MediaKind | None,
    mappings: Sequence[PathMapping],
    bound: Collection[BoundModality],
) -> Request:
    found = stat_file(absolute_path(path), absolute_path(root))
    if not isinstance(found, FoundFile):  # missing, or not a file
        return identify(path, modality=modality, bound=bound)
    asked_for = path == root or modality is not None
    if asked_for and mapping_for(mappings, found) is None:
        return identify(path, modality=modality, bound=bound)
    kind, options = kind_of(found, mappings, bound=bound)
    return identify({kind.value: path, **options}, bound=bound)


def expand(paths: Iterable[Path], *, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield files as given, and for a folder the files below it, see `discover`.

    Files in `without`, such as the earlier output of a command, are left out. A folder that cannot be listed
    is yielded itself, so that opening it raises the error.
    """
    without = list(without)
    for path in paths:
        if isinstance(path, StorePath):
            try:
                yield from (file for file in map(as_path, files_below(str(path))) if file not in without)
            except MediaError:
                yield path
            continue
        if not os.path.isdir(path):  # noqa: PTH112  (`is_dir` raises if the path cannot be examined)
            yield path
            continue
        root = absolute_path(path)
        for found in discover([root], without=without):
            if isinstance(found, FoundFile):
                yield path / found.relative
            else:
                yield path / os.path.relpath(found.item, name_of(root))


def kind_of(
    found: FoundFile, mappings: Sequence[PathMapping], *, bound: Collection[BoundModality] = ()
) -> tuple[MediaKind, Mapping[str, Any]]:
    """Return a file's media type and its options: from the first mapping that matches, else from its content.

    A file whose content is ambiguous may also be of a modality of `bound`.

    Raises:
        NotMediaError: the file has no known media type, or belongs to another file's recording.
        AmbiguousMediaError: several types are possible; the message has the `--map` options to choose one.
        MediaError: the file cannot be read, is damaged, or has one of `MEDIA_SUFFIXES` but no known type.
    """
    mapping = mapping_for(mappings, found)
    try:
        if mapping is None:
            return detect(found.path), {}
        if mapping.kind is MediaKind.IMU:
            refuse_companion(found.path, layout=mapping.options.get("layout"))
        return mapping.kind, mapping.options
    except AmbiguousMediaError as error:
        pattern = _pattern(found)
        kinds = (*error.kinds, *(media_kind(name, bound) for name in bound))
        ways = " or ".join(f"--map '{pattern}={_map_value(kind, found)}'" for kind in kinds)
        raise AmbiguousMediaError(
            error.item, got=error.got, kinds=kinds, pattern=pattern, hint=f"pass {ways}"
        ) from error
    except MediaError as error:
        if not is_not_media(error, found.path):
            raise
        raise NotMediaError(error.item, **error.fields) from error


def is_not_media(error: Exception, path: Path) -> bool:
    """Whether an error in detecting a file's media type means that the file is not media.

    Then the file belongs to another file's recording, or has no known media type in content and name.
    """
    if isinstance(error, UnknownMediaError):
        return path.suffix.lower() not in MEDIA_SUFFIXES
    return isinstance(error, CompanionMediaError)


def _map_value(kind: MediaKind, found: FoundFile) -> str:
    """Return the value for `--map`; an IMU table with unknown columns needs a layout file."""
    return f"{kind}:my_logger.json" if kind is MediaKind.IMU and found.path.suffix != ".npy" else str(kind)


def _pattern(found: FoundFile) -> str:
    """Return a pattern for files that likely have the same type: in one folder, or with the same name."""
    numbered = any(character.isdigit() for character in found.path.stem)
    return (
        path_text(found.relative.with_name(f"*{found.path.suffix}")) if numbered else f"**/{found.path.name}"
    )
