"""The index: vectors of anything, in a folder or an object store, found by anything.

    index = Index.open("media.lance", embedder, create=True)
    index.add([Path("dog.jpg"), {"audio": "bark.wav"}])
    index.search([(Path("beach.jpg"), 1.0), ("rain", 1.0), ("people", -0.5)])

A LanceDB table. Every change is one commit: readers, and a process that is killed, never leave half of it.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imagebind.batching import Embedding
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.intake.items import items_of
from imagebind.intake.requests import Request
from imagebind.io.uri import is_uri
from imagebind.media.discover import absolute_path
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind, ModalityType
from imagebind.search import approximate, many
from imagebind.search.calibration import SAMPLED, Calibration
from imagebind.search.filters import in_list, quoted, where
from imagebind.search.nearest import at_most, nearest, scored
from imagebind.search.query import to_query
from imagebind.search.rows import TEXT, FileState, Hit, IndexRow, Metadata, to_arrow, to_hit
from imagebind.search.store import Store, exists, named
from imagebind.space import Space

SPACE, CALIBRATION = "space", "calibration"
K = 10
KEPT_FOR = timedelta(hours=1)  # versions that another process may be reading

Uri = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class IndexStats:
    """The content of an index: `rows` vectors of `files` files, `kinds` of each media type.

    `size` is in bytes, None in an object store. Searches use an approximate index if `approximate`.
    `version` counts commits.
    """

    rows: int
    files: int
    kinds: Mapping[MediaKind, int]
    size: int | None
    space: Space
    approximate: bool
    version: int


class Index:
    """An index of vectors of one space. Safe to share between threads."""

    def __init__(self, store: Store, embedder: Embedder | None = None) -> None:
        """Use `Index.open`."""
        self._store = store
        self.embedder = embedder
        self._checked: set[MediaKind] = set()
        self._claimed: set[MediaKind] = set()
        self._kinds: tuple[int, Counter[MediaKind]] = (-1, Counter())
        self._calibration: tuple[int, Calibration] = (-1, Calibration())

    @classmethod
    def open(cls, uri: Uri, embedder: Embedder | None = None, *, create: bool = False) -> "Index":
        """Open an index: a folder, or any URI that LanceDB opens, such as s3://bucket/media.lance.

        Args:
            embedder: for searching by items and for adding them; without, there are vectors alone.
            create: make it if it is not there.

        Raises:
            SearchIndexError: it is not there, or cannot be read or made.
            SpaceMismatchError: the embedder's vectors are of another space than the index's.
            MissingExtraError: LanceDB is not installed.
        """
        if create and not exists(uri):
            if embedder is None:
                raise ValueError(f"{os.fspath(uri)}: a new index needs an embedder, which gives its space")
            space = Space.of(embedder, kinds=())
            about = {SPACE: space.to_json().encode()}
            return cls(Store.create(uri, embed_dim=embedder.embed_dim, about=about), embedder)
        index = cls(Store.open(uri), embedder)
        if embedder is not None:
            index.space.check(Space.of(embedder, kinds=()), what=index.uri)
        return index

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._store.uri

    @property
    def space(self) -> Space:
        """The fingerprint of the space that its vectors are in."""
        return Space.from_json((self._store.about(SPACE) or b"{}").decode())

    def roots(self, new: Iterable[Path] = ()) -> list[Path]:
        """Folders and files that crawls have looked through; `new` ones are noted."""
        return self._store.roots(new)

    @property
    def embed_dim(self) -> int:
        """How long a vector is."""
        return self._store.items.schema.field("vector").type.list_size

    def __len__(self) -> int:
        with named(self.uri, "read"):
            return self._store.items.count_rows()

    def add(
        self,
        items: Iterable[Any],
        *,
        modality: ModalityType | MediaKind | str | None = None,
        metadata: Metadata | Sequence[Metadata] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        batch_size: int = BATCH_SIZE,
    ) -> list[str]:
        """Embed items and add a row for each, in one commit; returns their ids.

        Items are what `Embedder.encode` takes; what is given twice is there twice. `metadata` is of all of
        them, or a list with one each. With `on_error="skip"` an item that cannot be embedded is left out, its
        id is "". Folders, and long recordings in windows, are the crawl's: `imagebind.search.crawl.crawler`.

        Raises:
            MediaError: such an item, with `on_error="raise"`; nothing is added.
            SpaceMismatchError: the embedder's vectors are of another space.
        """
        embedder = self._embedder("adding items")
        listed = list(items_of(items)[0])
        said = (
            [metadata or {}] * len(listed) if metadata is None or isinstance(metadata, Mapping) else metadata
        )
        if len(said) != len(listed):
            raise ValueError(f"metadata: expected one for all, or {len(listed)}, got {len(said)}")
        _, report = embedder.encode(
            listed, modality=modality, on_error=on_error, batch_size=batch_size, return_report=True
        )
        rows = [
            None if result.error is not None else _row_of(result, item, of)
            for result, item, of in zip(report, listed, said, strict=True)
        ]
        self.add_rows([row for row in rows if row is not None])
        return ["" if row is None else row.id for row in rows]

    def add_rows(self, rows: Sequence[IndexRow]) -> None:
        """Add rows, all or none of them.

        Raises:
            ValueError: a vector that is not of unit length, or of another width.
            SpaceMismatchError: the embedder's transform of a kind is another than the index's.
            SearchIndexError: it cannot be written.
        """
        if not rows:
            return
        self._claim({row.kind for row in rows})
        table = to_arrow(rows, self.embed_dim)
        with named(self.uri, "written to"):
            self._store.items.add(table)

    def replace_paths(self, paths: Iterable[str], rows: Sequence[IndexRow]) -> None:
        """Take out all rows of some paths and put in these, in one commit.

        What was said of a path in its rows' metadata stays said of it, besides what the new ones say.

        Raises:
            ValueError, SpaceMismatchError, SearchIndexError: as for `add_rows`.
        """
        if not rows:
            self.delete(paths=paths)
            return
        self._claim({row.kind for row in rows})
        paths = list(paths)
        with named(self.uri, "read"):
            said = many.said_of_paths(self._store.items, paths)
        rows = [replace(row, metadata={**said.get(row.path, {}), **row.metadata}) for row in rows]
        table = to_arrow(rows, self.embed_dim)
        with named(self.uri, "written to"):
            (
                self._store.items.merge_insert("id")
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(in_list("path", paths))
                .execute(table)
            )

    def move_path(self, old: str, new: str, *, mtime_ns: int) -> None:
        """Say that a file is elsewhere now; its rows keep their vectors and ids."""
        self.move_paths({old: (new, mtime_ns)})

    def move_paths(self, moves: Mapping[str, tuple[str, int]]) -> None:
        """The same of many files, in few commits: {path that was: (path that is, its time of change)}."""
        with named(self.uri, "written to"):
            many.move_paths(self._store.items, moves, self.embed_dim)

    def delete(self, *, ids: Iterable[str] | None = None, paths: Iterable[str] | None = None) -> int:
        """Take out the rows with these ids, or of these paths; returns how many there were."""
        if (ids is None) == (paths is None):
            raise ValueError("delete: expected ids or paths, one of both")
        column, values = ("id", list(ids)) if ids is not None else ("path", list(paths or ()))
        with named(self.uri, "written to"):
            return many.delete(self._store.items, column, values)

    def files(self) -> dict[str, FileState]:
        """What is known of each file, by its path's text."""
        columns = ["path", "kind", "content_hash", "size", "mtime_ns"]
        with named(self.uri, "read"):
            batches = self._store.items.search().select(columns).to_batches()
            found: dict[str, FileState] = {}
            for batch in batches:
                for record in batch.to_pylist():
                    kind = MediaKind(record.pop("kind"))
                    path = record.pop("path")
                    kinds = found[path].kinds | {kind} if path in found else frozenset({kind})
                    found[path] = FileState(**record, kinds=kinds)
        return found

    def get(self, id: str) -> Hit | None:
        """The row with this id, its vector too."""
        with named(self.uri, "read"):
            found = self._store.items.search().where(f"id = {quoted(id)}").limit(1).to_list()
        return to_hit(found[0]) if found else None

    def search(
        self,
        query: Any,
        k: int = K,
        *,
        kinds: Iterable[MediaKind | str] | None = None,
        path: str | None = None,
        between: tuple[float, float] | None = None,
        metadata: Metadata | None = None,
        calibrated: bool = True,
        exact: bool = False,
        per_file: int | None = None,
    ) -> list[Hit]:
        """The `k` rows nearest to a query, best first.

        Args:
            query: one item, as `Embedder.encode` takes it; a vector (e,); or pairs (item, weight), which
                are added up, a negative weight being taken away.
            kinds: only rows of these.
            path: only rows whose path has this pattern, such as "holiday/**.jpg".
            between: only rows whose time overlaps these seconds.
            metadata: only rows with these values.
            calibrated: sort by a score that compares across kinds, see `calibration`; else by cosine.
            exact: look at every vector, even where there is an approximate index.
            per_file: at most so many rows of one file.

        Raises:
            MediaError: a query that cannot be embedded.
            SpaceMismatchError: the embedder's vectors are of another space.
            ValueError: a filter that makes no sense.
        """
        if k < 1 or (per_file is not None and per_file < 1):
            raise ValueError(f"k and per_file: expected at least 1, got {k} and {per_file}")
        wanted = None if kinds is None else [MediaKind(kind) for kind in kinds]
        if wanted == []:
            raise ValueError("kinds: expected one or more, or None for all")
        where(path=path, between=between, metadata=metadata)  # complains before anything is embedded
        asked = to_query(query, self.embedder, embed_dim=self.embed_dim)
        self.check(asked.kinds)
        present = self._present()
        searched = [kind for kind in wanted or MediaKind if present[kind]]
        groups = [[kind] for kind in searched] if calibrated else [searched] if searched else []
        conditions = [
            where(
                kinds=None if len(group) == len(present) else group,
                path=path,
                between=between,
                metadata=metadata,
            )
            for group in groups
        ]
        records = nearest(self._store, asked.vector, k, conditions, exact=exact, per_file=per_file)
        hits = scored(records, asked.vector, self.calibration())
        hits.sort(key=lambda hit: hit.score if calibrated else hit.cosine, reverse=True)
        return at_most(hits, per_file, path=attrgetter("path"))[:k]

    def sample(self, n: int, *, seed: int = 0, kinds: Iterable[MediaKind | str] | None = None) -> list[Hit]:
        """`n` rows at random, or all where there are fewer, with their vectors."""
        condition = where(kinds=None if kinds is None else [MediaKind(kind) for kind in kinds])
        with named(self.uri, "read"):
            return [to_hit(record) for record in many.sample(self._store.items, n, condition, seed=seed)]

    def stats(self) -> IndexStats:
        """How much of what is in it."""
        with named(self.uri, "read"):
            paths = self._store.items.search().select(["path"]).to_arrow()["path"]
            return IndexStats(
                rows=len(paths),
                files=len(paths.unique()),
                kinds=dict(self._present()),
                size=self._store.size(),
                space=self.space,
                approximate=self._is_approximate(),
                version=self._store.items.version,
            )

    def optimize(self) -> None:
        """Write small pieces together, drop what is no longer wanted, estimate the calibration anew, and
        build the approximate index or bring it up to date, where it pays.

        Raises:
            SearchIndexError: it cannot be written.
        """
        self._store.say(CALIBRATION, self._estimate().to_bytes())
        rows = len(self)
        with named(self.uri, "written to"):
            if approximate.pays(rows) and not self._is_approximate():
                approximate.build(self._store.items, rows)
        self._store.tidy(keep=KEPT_FOR)

    def calibration(self) -> Calibration:
        """What makes scores comparable: as stored, or estimated now where it lacks a kind."""
        version = self._store.items.version
        if self._calibration[0] != version:
            stored = self._store.about(CALIBRATION)
            found = Calibration() if stored is None else Calibration.from_bytes(stored)
            if {*found.samples} != {*(self._present())}:
                found = self._estimate()
            self._calibration = (version, found)
        return self._calibration[1]

    def check(self, kinds: Iterable[MediaKind]) -> None:
        """That the embedder turns these kinds into vectors as the index had it done.

        Raises:
            SpaceMismatchError: it does not.
        """
        new = set(kinds) - self._checked
        if new and self.embedder is not None:
            self.space.check(Space.of(self.embedder, kinds=new), what=self.uri)
            self._checked |= new

    def _estimate(self) -> Calibration:
        samples = {
            kind: [hit.vector for hit in self.sample(SAMPLED, kinds=[kind]) if hit.vector is not None]
            for kind in self._present()
        }
        return Calibration({kind: np.stack(sample) for kind, sample in samples.items() if sample})

    def _present(self) -> Counter[MediaKind]:
        """How many rows there are of each kind."""
        with named(self.uri, "read"):
            version = self._store.items.version
            if self._kinds[0] != version:
                kinds = self._store.items.search().select(["kind"]).to_arrow()["kind"]
                counted = {
                    MediaKind(entry["values"]): entry["counts"] for entry in kinds.value_counts().to_pylist()
                }
                self._kinds = (version, Counter(counted))
            return self._kinds[1]

    def _is_approximate(self) -> bool:
        return any("vector" in index.columns for index in self._store.items.list_indices())

    def _embedder(self, purpose: str) -> Embedder:
        if self.embedder is None:
            raise ValueError(f"{self.uri}: {purpose} needs an index opened with an embedder")
        return self.embedder

    def _claim(self, kinds: Iterable[MediaKind]) -> None:
        """The same, and say it of kinds that are new to the index."""
        self.check(kinds)
        new = set(kinds) - self._claimed
        if new and self.embedder is not None:
            before = self.space
            joined = before.joined(Space.of(self.embedder, kinds=new))
            if joined != before:
                self._store.say(SPACE, joined.to_json().encode())
            self._claimed |= new


def _row_of(result: Embedding, item: Any, metadata: Metadata) -> IndexRow:
    assert result.vector is not None and result.kind is not None
    payload = item.payload if isinstance(item, Request) else item
    if isinstance(payload, Mapping):
        payload = next(iter(payload.values()))
    is_path = isinstance(payload, os.PathLike) or (
        isinstance(payload, str) and result.kind is not MediaKind.TEXT and not is_uri(payload)
    )
    path = path_text(absolute_path(payload)) if is_path else result.name
    start = min((span[0] for span in result.spans), default=None)
    end = max((span[1] for span in result.spans), default=None)
    if result.kind is MediaKind.TEXT and isinstance(payload, str):
        metadata = {TEXT: payload, **metadata}
    return IndexRow(
        path=path, kind=result.kind, vector=result.vector, start=start, end=end, metadata=metadata
    )
