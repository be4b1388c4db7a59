"""The index: embedded items in a folder or an object store, and the search for them by items or vectors.

    index = Index.open("media.lance", embedder, create=True)
    index.add([Path("dog.jpg"), {"audio": "bark.wav"}])
    index.search([(Path("beach.jpg"), 1.0), ("rain", 1.0), ("people", -0.5)])

It is a LanceDB database. Rows are added or replaced in one commit, so readers never see half a change.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imagebind.calibration import KIND_SAMPLES, Calibration
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.intake.items import items_of
from imagebind.modality import BoundModality, MediaKind, ModalityType, kinds_in_order, media_kind, stored_kind
from imagebind.query import to_query, weighted
from imagebind.search.filters import quoted, where
from imagebind.search.nearest import (
    build_approximate,
    is_approximate_worthwhile,
    is_same_item,
    limit_per_file,
    nearest,
    scored,
)
from imagebind.search.rows import FileState, Hit, IndexRow, Metadata, row_of, to_arrow, to_hit
from imagebind.search.store import SearchIndexError, Store, exists, store_errors
from imagebind.space import Space

SPACE_KEY, CALIBRATION_KEY = "space", "calibration"
DEFAULT_K = 10  # hits
KEEP_OLD_VERSIONS = timedelta(hours=1)  # other processes may be reading them

Uri = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class IndexStats:
    """The content of an index: its number of rows, also by media type as `kinds`, and of distinct paths.

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
        self._checked_kinds: set[MediaKind] = set()
        self._recorded_kinds: set[MediaKind] = set()
        self._counts: tuple[int, Counter[MediaKind]] = (-1, Counter())  # table version, rows by media type
        self._calibration: tuple[int, Calibration] = (-1, Calibration())  # table version, calibration

    @classmethod
    def open(cls, uri: Uri, embedder: Embedder | None = None, *, create: bool = False) -> "Index":
        """Open an index: a folder, or any URI that LanceDB opens, such as s3://bucket/media.lance.

        Args:
            embedder: needed to create the index, and to add or search by items, but not for vectors.
            create: create the index if it does not exist.

        Raises:
            SearchIndexError: the index does not exist, or cannot be read or created.
            SpaceMismatchError: the embedder's vectors are in another space than the index's.
            MissingExtraError: LanceDB is not installed.
            ValueError: a new index is created without an embedder.
        """
        if create and not exists(uri):
            if embedder is None:
                raise ValueError(f"{os.fspath(uri)}: expected an embedder to create a new index, got None")
            space = Space.of(embedder, kinds=()).without(embedder.bound)
            about = {SPACE_KEY: space.to_json().encode()}
            return cls(Store.create(uri, embed_dim=embedder.embed_dim, about=about), embedder)
        index = cls(Store.open(uri), embedder)
        if embedder is not None:
            index.space.check(Space.of(embedder, kinds=()), owner=index.uri)
        return index

    @property
    def uri(self) -> str:
        """The path or URI of the index."""
        return self._store.uri

    @property
    def space(self) -> Space:
        """The fingerprint of the embedding space of the vectors."""
        return Space.from_json((self._store.about(SPACE_KEY) or b"{}").decode())

    def roots(self, new: Iterable[Path] = ()) -> list[Path]:
        """Store `new` roots, and return all roots: the folders and files given to crawls."""
        return self._store.roots(new)

    @property
    def embed_dim(self) -> int:
        """The length of a vector."""
        return self._store.embed_dim

    def __len__(self) -> int:
        with store_errors(self.uri, "read"):
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
        """Embed items and add a row for each, in one commit; return the ids of the rows.

        Items, `modality` and `batch_size` are as for `Embedder.encode`; an item given twice is added twice.
        `metadata` is one mapping for all items, or a list with one for each. With `on_error="skip"` an item
        that cannot be embedded is left out and has the id "". For folders and windows use `search.crawl`.

        Raises:
            MediaError: an item cannot be embedded and `on_error` is "raise"; nothing is added.
            ValueError: there is no embedder, or not one mapping for each item; also the errors of `add_rows`.
        """
        embedder = self._embedder()
        listed = list(items_of(items)[0])
        metadatas = (
            [metadata or {}] * len(listed) if metadata is None or isinstance(metadata, Mapping) else metadata
        )
        if len(metadatas) != len(listed):
            raise ValueError(f"metadata: expected one mapping, or {len(listed)}, got {len(metadatas)}")
        _, report = embedder.encode(
            listed, modality=modality, on_error=on_error, batch_size=batch_size, return_report=True
        )
        rows = [
            None if result.error is not None else row_of(result, item, each)
            for result, item, each in zip(report, listed, metadatas, strict=True)
        ]
        self.add_rows([row for row in rows if row is not None])
        return ["" if row is None else row.id for row in rows]

    def add_rows(self, rows: Sequence[IndexRow]) -> None:
        """Add rows, all or none of them.

        Raises:
            ValueError: a vector or a metadata value is invalid, see `rows.to_arrow`.
            SpaceMismatchError: the embedder's transform of a media type differs from the index's.
            SearchIndexError: the index cannot be written.
        """
        if not rows:
            return
        self._record_kinds({row.kind for row in rows})
        table = to_arrow(rows, self.embed_dim)
        with store_errors(self.uri, "written to"):
            self._store.items.add(table)

    def replace_paths(self, paths: Iterable[str], rows: Sequence[IndexRow]) -> None:
        """Replace all rows of some paths by new rows, in one commit.

        The metadata that users gave a path's old rows is kept, and merged with that of the new rows.

        Raises:
            ValueError, SpaceMismatchError, SearchIndexError: as for `add_rows`.
        """
        if not rows:
            self.delete(paths=paths)
            return
        self._record_kinds({row.kind for row in rows})
        paths = list(paths)
        kept = self._store.user_metadata(paths)
        rows = [replace(row, metadata={**kept.get(row.path, {}), **row.metadata}) for row in rows]
        self._store.replace(paths, to_arrow(rows, self.embed_dim))

    def move_paths(self, moves: Mapping[str, tuple[str, int]]) -> None:
        """Update the paths of files in few commits: {old path: (new path, modification time in ns)}.

        Their rows keep their vectors and ids.
        """
        self._store.move_paths(moves)

    def delete(self, *, ids: Iterable[str] | None = None, paths: Iterable[str] | None = None) -> int:
        """Delete the rows with these ids, or of these paths, and return their number.

        Raises:
            ValueError: neither ids nor paths are given, or both.
            SearchIndexError: the index cannot be written.
        """
        if (ids is None) == (paths is None):
            raise ValueError(f"delete: expected either ids or paths, got {'none' if ids is None else 'both'}")
        column, values = ("id", list(ids)) if ids is not None else ("path", list(paths or ()))
        return self._store.delete(column, values)

    def files(self) -> dict[str, FileState]:
        """Return the state of each file, keyed by its path as text (see `path_text`)."""
        columns = ["path", "kind", "content_hash", "size", "mtime_ns"]
        with store_errors(self.uri, "read"):
            batches = self._store.items.search().select(columns).to_batches()
            files: dict[str, FileState] = {}
            for batch in batches:
                for record in batch.to_pylist():
                    kind = stored_kind(record.pop("kind"))
                    path = record.pop("path")
                    kinds = files[path].kinds | {kind} if path in files else frozenset({kind})
                    files[path] = FileState(**record, kinds=kinds)
        return files

    def get(self, id: str) -> Hit | None:
        """Return the row with this id, including its vector; None if there is none."""
        with store_errors(self.uri, "read"):
            found = self._store.items.search().where(f"id = {quoted(id)}").limit(1).to_list()
        return to_hit(found[0]) if found else None

    def search(
        self,
        query: Any,
        k: int = DEFAULT_K,
        *,
        kinds: Iterable[MediaKind | str] | None = None,
        path: str | None = None,
        between: tuple[float, float] | None = None,
        metadata: Metadata | None = None,
        calibrated: bool = True,
        exact: bool = False,
        per_file: int | None = None,
    ) -> list[Hit]:
        """Return the `k` rows nearest to a query, best first.

        Args:
            query: an item as for `Embedder.encode`, a vector (e,), or pairs (item, weight), whose weighted
                sum is the query; weights may be negative.
            kinds: only rows of these media types.
            path: only rows whose path matches this pattern, such as "holiday/**.jpg".
            between: only rows whose time overlaps these seconds.
            metadata: only rows with these values.
            calibrated: sort by a score comparable across media types, see `calibration`, after rows that have
                the query's vector, such as the query's own file, and are not texts; else sort by cosine.
            exact: compare with every vector, even if there is an approximate index.
            per_file: the largest number of rows of one file.

        Raises:
            MediaError: the query cannot be embedded, or is silent audio.
            SearchIndexError: the query needs a pack that is not loaded, or the index cannot be read.
            SpaceMismatchError: the embedder's vectors are in another space.
            ValueError: an argument is invalid, a weighted sum is zero, or an item needs an embedder.
        """
        if k < 1 or (per_file is not None and per_file < 1):
            raise ValueError(f"k and per_file: expected at least 1, got {k} and {per_file}")
        wanted = None if kinds is None else self.kinds_named(kinds)
        if wanted == []:
            raise ValueError("kinds: expected at least one, got none; pass None for all")
        matching = partial(where, path=path, between=between, metadata=metadata)
        matching()  # fail before anything is embedded
        keys = [key for item, _ in weighted(query) if isinstance(item, Mapping) for key in item]
        if (pack := self.missing_pack(keys)) is not None:
            raise SearchIndexError(f"{self.uri}: expected {pack} for this query, got none")
        combined = to_query(query, self.embedder, embed_dim=self.embed_dim)
        self.check(combined.kinds)
        counts = self._kind_counts()
        searched = [kind for kind in wanted or kinds_in_order(counts) if counts[kind]]
        groups = [[kind] for kind in searched] if calibrated else [searched] if searched else []
        conditions = [matching(kinds=None if len(group) == len(counts) else group) for group in groups]
        records = nearest(self._store, combined.vector, k, conditions, exact=exact, per_file=per_file)
        hits = scored(records, combined.vector, self.calibration())
        if calibrated:
            hits.sort(key=lambda hit: (is_same_item(hit), hit.score), reverse=True)
        else:
            hits.sort(key=lambda hit: hit.cosine, reverse=True)
        return limit_per_file(hits, per_file, path=attrgetter("path"))[:k]

    def sample(self, n: int, *, seed: int = 0, kinds: Iterable[MediaKind | str] | None = None) -> list[Hit]:
        """Return `n` random rows, or all if there are fewer, with their vectors."""
        condition = where(kinds=None if kinds is None else self.kinds_named(kinds))
        return [to_hit(record) for record in self._store.sample(n, condition, seed=seed)]

    def stats(self) -> IndexStats:
        """Return statistics of the index."""
        with store_errors(self.uri, "read"):
            paths = self._store.items.search().select(["path"]).to_arrow()["path"]
            return IndexStats(
                rows=len(paths),
                files=len(paths.unique()),
                kinds=dict(self._kind_counts()),
                size=self._store.size(),
                space=self.space,
                approximate=self._is_approximate(),
                version=self._store.items.version,
            )

    def optimize(self) -> None:
        """Compact the index, and update its calibration and, if there are enough rows, its approximate index.

        Raises:
            SearchIndexError: the index cannot be written.
        """
        self._store.set_about(CALIBRATION_KEY, self._estimate().to_bytes())
        rows = len(self)
        with store_errors(self.uri, "written to"):
            if is_approximate_worthwhile(rows) and not self._is_approximate():
                build_approximate(self._store.items, rows)
        self._store.compact(keep=KEEP_OLD_VERSIONS)

    def calibration(self) -> Calibration:
        """Return the stored calibration, or a new estimate if its media types are not those of the index."""
        version = self._store.items.version
        if self._calibration[0] != version:
            stored = self._store.about(CALIBRATION_KEY)
            calibration = Calibration() if stored is None else Calibration.from_bytes(stored)
            if {*calibration.samples} != {*(self._kind_counts())}:
                calibration = self._estimate()
            self._calibration = (version, calibration)
        return self._calibration[1]

    def check(self, kinds: Iterable[MediaKind]) -> None:
        """Check that the embedder embeds these media types in the same way as the index's vectors.

        Raises:
            SpaceMismatchError: it does not.
        """
        new = set(kinds) - self._checked_kinds
        if new and self.embedder is not None:
            self.space.check(Space.of(self.embedder, kinds=new), owner=self.uri)
            self._checked_kinds |= new

    def missing_pack(self, modalities: Iterable[str]) -> str | None:
        """Describe a pack of these modalities that the index needs and that is not loaded, or return None."""
        wanted = {*map(str, modalities)} - {*self._loaded_packs}
        needed = [kind for kind in self._kind_counts() if isinstance(kind, BoundModality) and kind in wanted]
        if not needed:
            return None
        weights = self.space.weights.get(needed[0])
        return f"the pack of {needed[0]} with weights {weights} (--pack FOLDER, Embedder(…, packs=[folder]))"

    def _estimate(self) -> Calibration:
        samples = {
            kind: [hit.vector for hit in self.sample(KIND_SAMPLES, kinds=[kind]) if hit.vector is not None]
            for kind in self._kind_counts()
        }
        return Calibration({kind: np.stack(sample) for kind, sample in samples.items() if sample})

    def _kind_counts(self) -> Counter[MediaKind]:
        """Return the number of rows of each media type."""
        with store_errors(self.uri, "read"):
            version = self._store.items.version
            if self._counts[0] != version:
                kinds = self._store.items.search().select(["kind"]).to_arrow()["kind"]
                found = kinds.value_counts().to_pylist()
                self._counts = version, Counter({stored_kind(row["values"]): row["counts"] for row in found})
            return self._counts[1]

    def kinds_named(self, names: Iterable[MediaKind | str]) -> list[MediaKind]:
        """Return the media types with these names: of the library, of loaded packs, or of the index.

        Raises:
            ValueError: no media type has the name.
        """
        known = [*self._loaded_packs, *self._kind_counts()]
        return [media_kind(name, known) for name in names]

    @property
    def _loaded_packs(self) -> tuple[BoundModality, ...]:
        return () if self.embedder is None else self.embedder.bound

    def _is_approximate(self) -> bool:
        return any("vector" in index.columns for index in self._store.items.list_indices())

    def _embedder(self) -> Embedder:
        if self.embedder is None:
            raise ValueError(f"{self.uri}: expected an index opened with an embedder, got one without")
        return self.embedder

    def _record_kinds(self, kinds: Iterable[MediaKind]) -> None:
        """Check media types, and store the transforms of those that are new to the index."""
        self.check(kinds)
        new = set(kinds) - self._recorded_kinds
        if new and self.embedder is not None:
            before = self.space
            other_packs = {*self.embedder.bound} - {kind.value for kind in new}
            joined = before.joined(Space.of(self.embedder, kinds=new).without(other_packs))
            if joined != before:
                self._store.set_about(SPACE_KEY, joined.to_json().encode())
            self._recorded_kinds |= new
