"""Find the rows nearest to a vector, and score them."""

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
from imagebind.search.approximate import NPROBES, REFINE_FACTOR
from imagebind.search.calibration import Calibration, Scale
from imagebind.search.rows import HIT_COLUMNS, Hit, to_hit
from imagebind.search.store import Store, store_errors

FETCH_GROWTH = 4  # if `per_file` leaves too few rows, fetch this many times as many

Record = Mapping[str, Any]
Ranked = TypeVar("Ranked")


def nearest(
    store: Store,
    vector: np.ndarray,
    k: int,
    conditions: Sequence[str | None],
    *,
    exact: bool,
    per_file: int | None,
) -> list[Record]:
    """Return the rows nearest to a unit vector (e,) that match each condition, with their `_distance`.

    There are at least `k` for each condition, after limiting them to `per_file`, if the table has as many.
    """
    search = partial(_nearest, store, vector, k, exact=exact, per_file=per_file)
    if len(conditions) <= 1:
        return list(chain.from_iterable(map(search, conditions)))
    with ThreadPoolExecutor(min(len(conditions), os.cpu_count() or 1)) as pool:  # LanceDB releases the GIL
        return list(chain.from_iterable(pool.map(search, conditions)))


def _nearest(
    store: Store, vector: np.ndarray, k: int, condition: str | None, *, exact: bool, per_file: int | None
) -> list[Record]:
    count = k
    while True:
        with store_errors(store.uri, "searched"):
            search = store.items.search(vector, vector_column_name="vector").distance_type("dot")
            search = search.select([*HIT_COLUMNS, "_distance"]).limit(count)
            if condition is not None:
                search = search.where(condition, prefilter=True)
            # Search more than NPROBES partitions only if too few rows in them match the condition.
            approximate = search.nprobes(NPROBES).maximum_nprobes(0).refine_factor(REFINE_FACTOR)
            found = (search.bypass_vector_index() if exact else approximate).to_list()
        kept = limit_per_file(found, per_file, path=itemgetter("path"))
        if len(kept) >= k or len(found) < count:
            return kept
        count *= FETCH_GROWTH


def scored(records: Iterable[Record], vector: np.ndarray, calibration: Calibration) -> list[Hit]:
    """Turn rows with a `_distance` into hits with score and cosine."""
    scales: dict[str, Scale] = {}
    hits = []
    for record in records:
        kind = record["kind"]
        if kind not in scales:
            scales[kind] = calibration.scale(vector, MediaKind(kind))
        cosine = 1 - record["_distance"]  # LanceDB's dot distance is 1 - dot product
        hits.append(to_hit(record, cosine=cosine, score=scales[kind].score(cosine)))
    return hits


def limit_per_file(
    ranked: Sequence[Ranked], per_file: int | None, *, path: Callable[[Ranked], str]
) -> list[Ranked]:
    """Return the first `per_file` entries of each path, in order; all entries if `per_file` is None."""
    seen: Counter[str] = Counter()
    kept = []
    for each in ranked:
        seen[path(each)] += 1
        if per_file is None or seen[path(each)] <= per_file:
            kept.append(each)
    return kept
