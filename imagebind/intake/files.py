"""Files that a user names: their media types, from their content or a mapping, and the requests they make."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagebind.errors import AmbiguousMediaError, CompanionMediaError, MediaError, UnknownMediaError
from imagebind.intake.mapping import PathMapping, mapping_for
from imagebind.intake.requests import Request, identify
from imagebind.io.source import name_of
from imagebind.media.detect import detect
from imagebind.media.discover import FoundFile, absolute_path, stat_file
from imagebind.media.imu_table import refuse_companion
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind

# A file that is named like these but has another content is reported as damaged, not left out.
MEDIA_SUFFIXES = """
    .jpg .jpeg .jfif .png .apng .gif .bmp .tif .tiff .webp .avif .heic .heif .jp2 .j2k .jxl
    .qoi .ico .ppm .pgm .mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2ts .mts .wmv .flv
    .3gp .ogv .wav .mp3 .flac .ogg .oga .opus .m4a .aac .aif .aiff .wma .au .caf .npy
    .npz .txt .md
""".split()  # noqa: SIM905


class NotMediaError(MediaError):
    """A file of no known media type, whose name does not suggest one either."""


@dataclass(kw_only=True)
class Taken:
    """Requests for the media files among some paths, and the errors of files that cannot be embedded.

    `not_media` counts, by suffix, files in folders that are not media or belong to another file's recording.
    """

    requests: list[Request] = field(default_factory=list)
    failures: list[MediaError] = field(default_factory=list)
    not_media: Counter[str] = field(default_factory=Counter)


def take(
    paths: Iterable[Path],
    *,
    modality: MediaKind | None,
    mappings: Sequence[PathMapping],
    without: Iterable[Path] = (),
) -> Taken:
    """Make a request of each media file: its type is from a mapping, else `modality`, else its content.

    A path to a file that is not media is a failure; in a folder, such a file is only counted.
    """
    taken = Taken()
    without = list(without)
    for root in paths:
        for path in expand([root], without=without):
            try:
                taken.requests.append(_request(path, root, modality, mappings))
            except NotMediaError:
                taken.not_media[path.suffix.lower()] += 1
            except MediaError as error:
                taken.failures.append(error.renamed(name_of(path)))
    return taken


def _request(path: Path, root: Path, modality: MediaKind | None, mappings: Sequence[PathMapping]) -> Request:
    found = stat_file(absolute_path(path), absolute_path(root))
    if not isinstance(found, FoundFile):  # not there, or no file
        return identify(path, modality=modality)
    asked_for = path == root or modality is not None
    if asked_for and mapping_for(mappings, found) is None:
        return identify(path, modality=modality)
    kind, options = kind_of(found, mappings)
    return identify({kind.value: path, **options})


def expand(paths: Iterable[Path], *, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield files as given, and for a folder all files below it in order of name, except hidden ones.

    Files in `without`, such as a command's own earlier output, are left out. A folder that cannot be listed
    is yielded itself, so that opening it gives the error.
    """
    left_out = {path.absolute() for path in without}
    unlisted: list[Path] = []
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, subfolders, names in os.walk(path, onerror=lambda e: unlisted.append(Path(e.filename))):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                if not name.startswith(".") and file.absolute() not in left_out:
                    yield file
    yield from unlisted


def kind_of(found: FoundFile, mappings: Sequence[PathMapping]) -> tuple[MediaKind, Mapping[str, Any]]:
    """Return a file's media type and its options: from the first mapping that matches, else from its content.

    Raises:
        NotMediaError: no known media type.
        AmbiguousMediaError: several types are possible; the message has the `--map` options to choose one.
        MediaError: it cannot be read, or it is damaged.
    """
    mapping = mapping_for(mappings, found)
    try:
        if mapping is None:
            return detect(found.path), {}
        if mapping.kind is MediaKind.IMU:
            refuse_companion(found.path, layout=mapping.options.get("layout"))
        return mapping.kind, mapping.options
    except AmbiguousMediaError as error:
        ways = " or ".join(f"--map '{_pattern(found)}={_told(kind, found)}'" for kind in error.kinds)
        raise AmbiguousMediaError(error.item, got=error.got, expected=ways, kinds=error.kinds) from error
    except (CompanionMediaError, UnknownMediaError) as error:
        if isinstance(error, UnknownMediaError) and found.path.suffix.lower() in MEDIA_SUFFIXES:
            raise
        raise NotMediaError(error.item, **error.fields) from error


def _told(kind: MediaKind, found: FoundFile) -> str:
    """Return a media type as `--map` takes it; an IMU table of unknown columns needs a layout file."""
    return f"{kind}:my_logger.json" if kind is MediaKind.IMU and found.path.suffix != ".npy" else str(kind)


def _pattern(found: FoundFile) -> str:
    """Return a pattern of files that likely have the same type: those of a folder, or of the same name."""
    numbered = any(character.isdigit() for character in found.path.stem)
    return (
        path_text(found.relative.with_name(f"*{found.path.suffix}")) if numbered else f"**/{found.path.name}"
    )
