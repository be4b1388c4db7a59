"""The files that an index already has, matched with the files that a crawl finds."""

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from imagebind.intake.mapping import PathMapping, mapping_for
from imagebind.media.discover import FoundFile
from imagebind.media.paths import path_exists, path_text, text_path
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import ExaminedFile
from imagebind.search.rows import FileState


class IndexedFiles:
    """The files of an index that the crawl has not visited yet.

    Paths are text, see `path_text`. `sizes` are the sizes of files with a content hash.
    """

    def __init__(self, files: dict[str, FileState]) -> None:
        """Start from `Index.files()`, which is modified."""
        self._unvisited = files
        self.sizes = {state.size for state in files.values() if state.content_hash}
        self._paths_of_hash: defaultdict[str, list[str]] = defaultdict(list)
        for path, state in files.items():
            if state.content_hash:  # rows added by a user have none
                self._paths_of_hash[state.content_hash].append(path)

    def visit(self, path: str) -> FileState | None:
        """Mark a file as visited, and return its state; None if the index lacks it or it was visited."""
        return self._unvisited.pop(path, None)

    def unvisit(self, path: str, state: FileState) -> None:
        """Mark a file as not visited, so that it can be visited again."""
        self._unvisited[path] = state

    def visit_moved(self, examined: ExaminedFile) -> str | None:
        """Return a moved file's earlier path, and mark that path as visited; None if the file has not moved.

        The earlier path no longer exists, and had a file of the same bytes and media type.
        """
        for path in self._paths_of_hash.get(examined.content_hash, ()):
            state = self._unvisited.get(path)
            if (
                state is not None
                and examined.kind == main_kind(state.kinds)
                and not path_exists(text_path(path))
            ):
                del self._unvisited[path]
                return path
        return None

    def missing(self, roots: Sequence[Path]) -> dict[str, FileState]:
        """Return the unvisited files under the roots that no longer exist."""
        root_texts = [path_text(root) for root in roots]
        prefixes = tuple(root.rstrip(os.sep) + os.sep for root in root_texts)
        return {
            path: state
            for path, state in self._unvisited.items()
            if (path in root_texts or path.startswith(prefixes)) and not path_exists(text_path(path))
        }


def main_kind(kinds: Collection[MediaKind]) -> MediaKind:
    """Return the media type of a file from those of its rows; one with video and audio rows is a video."""
    return MediaKind.VIDEO if MediaKind.VIDEO in kinds else min(kinds)


def is_unchanged(found: FoundFile, state: FileState, mappings: Sequence[PathMapping]) -> bool:
    """Whether a file need not be opened: size, modification time and mapped media type are as indexed."""
    mapping = mapping_for(mappings, found)
    same = (state.size, state.mtime_ns) == (found.size, found.mtime_ns)
    return same and (mapping is None or mapping.kind == main_kind(state.kinds))
