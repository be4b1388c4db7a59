"""What an index knows of the files below some folders, met one by one as they are found."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from imagebind.intake.mapping import PathMapping, mapping_for
from imagebind.media.discover import FoundFile
from imagebind.media.paths import path_exists, path_text, text_path
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import Examined
from imagebind.search.rows import FileState


class Known:
    """The files of an index that have not been met yet.

    Paths are text, see `path_text`.
    """

    def __init__(self, files: dict[str, FileState]) -> None:
        """Take over `Index.files()`."""
        self._files = files
        self._paths: defaultdict[str, list[str]] = defaultdict(list)  # by hash
        for path, state in files.items():
            self._paths[state.content_hash].append(path)

    def meet(self, path: str) -> FileState | None:
        """What was known of a file that is there; each is met once."""
        return self._files.pop(path, None)

    def put_back(self, path: str, state: FileState) -> None:
        """Let a file be met once more."""
        self._files[path] = state

    def has_bytes(self, content_hash: str) -> bool:
        """Whether the index had a file of these bytes, met or not."""
        return content_hash in self._paths

    def move(self, examined: Examined) -> str | None:
        """The path that a file new at its place had before: one of the same bytes and kind was there, and
        nothing is there now. It counts as met."""
        for path in self._paths.get(examined.content_hash, ()):
            state = self._files.get(path)
            if state is not None and examined.kind is main_kind(state) and not path_exists(text_path(path)):
                del self._files[path]
                return path
        return None

    def gone(self, roots: Sequence[Path]) -> dict[str, FileState]:
        """Those below the roots that have not been met, and are not there."""
        tops = [path_text(root) for root in roots]
        below = tuple(top.rstrip(os.sep) + os.sep for top in tops)
        return {
            path: state
            for path, state in self._files.items()
            if (path in tops or path.startswith(below)) and not path_exists(text_path(path))
        }


def main_kind(state: FileState) -> MediaKind:
    """What a file is: one of pictures and sound is a video."""
    return MediaKind.VIDEO if MediaKind.VIDEO in state.kinds else min(state.kinds)


def is_unchanged(found: FoundFile, state: FileState, mappings: Sequence[PathMapping]) -> bool:
    """Whether a file need not be opened: of the same size, time of change and kind as what was read."""
    mapping = mapping_for(mappings, found)
    same = (state.size, state.mtime_ns) == (found.size, found.mtime_ns)
    return same and (mapping is None or mapping.kind is main_kind(state))
