"""Benchmarks search in tables of growing size: build time and size of the index, search speed and recall.

The vectors have a realistic distribution. Captions of the toy world, embedded by the small model, form
clusters in a low-dimensional subspace. Each vector is a mixture of the embeddings of two similar captions,
rotated into 1024 dimensions, plus noise in all directions. Queries have the same distribution, but
are not in the table.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import pyarrow as pa

from imagebind.benchmark.report import GIGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import seconds
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.datasets.pairs import generator
from imagebind.embedder import Embedder
from imagebind.modality import MediaKind, ModalityType
from imagebind.search.index import Index
from imagebind.search.nearest import is_approximate_worthwhile
from imagebind.search.rows import IndexRow, to_arrow
from imagebind.search.store import Store
from imagebind.space import Space
from imagebind.toyworld import World, caption

SECTION = "search"
EMBED_DIM = 1024
NUM_CAPTIONS = 8192  # equal ones included; the vectors are mixtures of their embeddings
MIXED_NEIGHBOURS = 32
NOISE_LENGTH = 0.5  # relative to the vector before
INSERTED_BATCH = 20_000
NUM_QUERIES = 100
NUM_EXACT_QUERIES = 10  # queries timed with exact search
TOP_K = 10
KEPT_VERSIONS_AGE = timedelta(milliseconds=1)  # LanceDB warns about zero

MILLION = 1_000_000
TARGET_RECALL, TARGET_P50_MS, TARGET_BUILD_SECONDS = 0.95, 25.0, 300.0  # targets at a million


@dataclass(frozen=True, eq=False)
class Cloud:
    """A distribution of vectors: mixtures of `seeds` (n, d), rotated by `rotation` (d, e), plus noise."""

    seeds: np.ndarray
    neighbours: np.ndarray  # (n, 32) numbers of the seeds most similar to each seed, itself included
    rotation: np.ndarray

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Sample `count` vectors of unit length: (count, e) float32."""
        first = rng.integers(len(self.seeds), size=count)
        second = self.neighbours[first, rng.integers(self.neighbours.shape[1], size=count)]
        share = rng.random((count, 1), dtype=np.float32)
        mixed = share * self.seeds[first] + (1 - share) * self.seeds[second]  # (count, d)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        width = self.rotation.shape[1]
        noise = rng.standard_normal((count, width), dtype=np.float32)
        vectors = mixed @ self.rotation + noise * np.float32(NOISE_LENGTH / np.sqrt(width))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_cloud() -> Cloud:
    """Build a cloud from the small model's embeddings of captions."""
    embedder = Embedder(imagebind_tiny(pretrained=True, modalities=[ModalityType.TEXT]))
    world = World(seed=0)
    texts = {
        caption(world.scene(number), generator(0, 0, number), still=number % 2 == 0)
        for number in range(NUM_CAPTIONS)
    }
    seeds = embedder.encode(sorted(texts))  # (n, d)
    cosines = seeds @ seeds.T
    neighbours = np.argpartition(-cosines, MIXED_NEIGHBOURS, axis=1)[:, :MIXED_NEIGHBOURS]
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.standard_normal((EMBED_DIM, seeds.shape[1])))
    return Cloud(seeds, neighbours, rotation.T.astype(np.float32))


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the rows of each table."""
    cloud = make_cloud()
    before: float | None = None
    for count in size.table_rows:
        store = fill(folder / f"{count}.lance", cloud, count)
        index = Index(store)
        build = seconds(index.optimize)
        queries = cloud.draw(NUM_QUERIES, np.random.default_rng(count + 1))
        fast, found = timed(index, queries, exact=False)
        slow, _ = timed(index, queries[:NUM_EXACT_QUERIES], exact=True)
        shared = [len(a & b) for a, b in zip(found, nearest(store, queries), strict=True)]
        recall = float(np.mean(shared)) / TOP_K
        p50, p95, exact_ms = median(fast) * 1e3, quantiles(fast, n=20)[-1] * 1e3, median(slow) * 1e3
        written = store.size() or 0
        store.compact(keep=KEPT_VERSIONS_AGE)  # drop the versions kept for running readers
        stored = f"{count:,} vectors of {EMBED_DIM}"
        has_targets = count == MILLION
        method = "approximate" if is_approximate_worthwhile(count) else "exact"
        growth = "" if before is None else f"; {p50 / before:.2f} x the p50 of a tenth of the vectors"
        target = TARGET_BUILD_SECONDS if has_targets else None
        yield _row(f"{stored}: ready for search after", build, "s", target, at_most=True)
        yield _row(
            f"{stored}: on disk",
            written / GIGABYTE,
            "GB",
            detail=f"{(store.size() or 0) / GIGABYTE:.3g} GB once earlier versions are dropped",
        )
        target = TARGET_RECALL if has_targets else None
        yield _row(f"{stored}: recall@{TOP_K}", recall, "", target, detail=f"{method} against exact")
        yield _row(
            f"{stored}: a search, p50",
            p50,
            "ms",
            TARGET_P50_MS if has_targets else None,
            at_most=True,
            detail=f"{method}; exact {exact_ms:,.0f} ms, {exact_ms / p50:.1f} x as long{growth}",
        )
        yield _row(f"{stored}: a search, p95", p95, "ms")
        before = p50


def _row(
    name: str,
    value: float,
    unit: str,
    target: float | None = None,
    *,
    at_most: bool = False,
    detail: str = "",
) -> Row:
    return Row(
        section=SECTION, name=name, value=value, unit=unit, target=target, at_most=at_most, detail=detail
    )


def fill(folder: Path, cloud: Cloud, size: int) -> Store:
    """Create the store of an index with `size` rows."""
    space = Space(model="cloud", embed_dim=EMBED_DIM)
    store = Store.create(folder, embed_dim=EMBED_DIM, about={"space": space.to_json().encode()})
    rng = np.random.default_rng(size)
    placeholder = np.eye(1, EMBED_DIM, dtype=np.float32)[0]
    for start in range(0, size, INSERTED_BATCH):
        vectors = cloud.draw(min(INSERTED_BATCH, size - start), rng)
        rows = [
            IndexRow(path=f"/cloud/{number}.txt", kind=MediaKind.TEXT, vector=placeholder, id=str(number))
            for number in range(start, start + len(vectors))
        ]
        table = to_arrow(rows, EMBED_DIM)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), EMBED_DIM)
        store.items.add(table.set_column(table.schema.get_field_index("vector"), "vector", column))
    return store


def timed(index: Index, queries: np.ndarray, *, exact: bool) -> tuple[list[float], list[set[str]]]:
    """Return the seconds and the hit ids of each search, after a warm-up search."""
    times, found = [], []
    index.search(queries[-1], TOP_K, exact=exact)
    for query in queries:
        start = time.perf_counter()
        hits = index.search(query, TOP_K, exact=exact)
        times.append(time.perf_counter() - start)
        found.append({hit.id for hit in hits})
    return times, found


def nearest(store: Store, queries: np.ndarray) -> list[set[str]]:
    """Return the ids of the `TOP_K` exact nearest rows of each query (q, e), by one pass over the table."""
    best = np.full((len(queries), TOP_K), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), TOP_K), "", dtype=object)
    for batch in store.items.search().select(["id", "vector"]).to_batches():
        vectors = batch["vector"].values.to_numpy().reshape(len(batch), -1)  # (n, e)
        cosines = np.concatenate([best, queries @ vectors.T], axis=1)
        names = np.array(batch["id"].to_pylist(), dtype=object)
        top = np.argpartition(-cosines, TOP_K, axis=1)[:, :TOP_K]  # (q, TOP_K)
        chosen = [
            np.concatenate([known, names])[positions] for known, positions in zip(ids, top, strict=True)
        ]
        best, ids = np.take_along_axis(cosines, top, axis=1), np.stack(chosen)
    return [set(row) for row in ids]
