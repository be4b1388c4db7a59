"""The rows nearest to a vector, and their scores."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np

from imagebind.modality import MediaKind
from imagebind.search.approximate import NPROBES, REFINE
from imagebind.search.calibration import Calibration
from imagebind.search.rows import SHOWN, Hit, to_hit
from imagebind.search.store import Store, named

FETCHED_MORE = 4  # times as many rows, where too few of those found are wanted

Record = Mapping[str, Any]
Found = TypeVar("Found")


def nearest(
    store: Store,
    vector: np.ndarray,
    k: int,
    conditions: Sequence[str | None],
    *,
    exact: bool,
    per_file: int | None,
) -> list[Record]:
    """The `k` rows nearest to a unit vector (e,) under each condition, with their `_distance`.

    More where `per_file` leaves some of them out, so that `k` stay if there are so many.
    """
    search = partial(_nearest, store, vector, k, exact=exact, per_file=per_file)
    if len(conditions) <= 1:
        return list(chain.from_iterable(map(search, conditions)))
    with ThreadPoolExecutor(min(len(conditions), os.cpu_count() or 1)) as pool:  # LanceDB holds no lock
        return list(chain.from_iterable(pool.map(search, conditions)))


def _nearest(
    store: Store, vector: np.ndarray, k: int, condition: str | None, *, exact: bool, per_file: int | None
) -> list[Record]:
    count = k
    while True:
        with named(store.uri, "searched"):
            search = store.items.search(vector, vector_column_name="vector").distance_type("dot")
            search = search.select([*SHOWN, "_distance"]).limit(count)
            if condition is not None:
                search = search.where(condition, prefilter=True)
            # More partitions than that only where too few rows in them hold the condition.
            approximate = search.nprobes(NPROBES).maximum_nprobes(0).refine_factor(REFINE)
            found = (search.bypass_vector_index() if exact else approximate).to_list()
        kept = at_most(found, per_file, path=itemgetter("path"))
        if len(kept) >= k or len(found) < count:
            return kept
        count *= FETCHED_MORE


def scored(records: Iterable[Record], vector: np.ndarray, calibration: Calibration) -> list[Hit]:
    """Rows with their `_distance` as hits with both scores."""
    scales: dict[str, tuple[float, float]] = {}
    hits = []
    for record in records:
        kind = record["kind"]
        if kind not in scales:
            scales[kind] = calibration.scale(vector, MediaKind(kind))
        mean, deviation = scales[kind]
        cosine = 1 - record["_distance"]  # LanceDB's distance by dot product
        hits.append(to_hit(record, cosine=cosine, score=(cosine - mean) / deviation))
    return hits


def at_most(found: Sequence[Found], per_file: int | None, *, path: Callable[[Found], str]) -> list[Found]:
    """The first `per_file` of each path, in order; all with None."""
    seen: Counter[str] = Counter()
    kept = []
    for each in found:
        seen[path(each)] += 1
        if per_file is None or seen[path(each)] <= per_file:
            kept.append(each)
    return kept
