"""Find the rows nearest to a query's vector, score them as hits, and build the approximate index.

The constants of the approximate search are measured, see `imagebind benchmark search`. Below
`MIN_APPROXIMATE_ROWS` an exact search is fast enough, and its recall is 1.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np

from imagebind.calibration import Calibration, Scale
from imagebind.modality import MediaKind, stored_kind
from imagebind.search.rows import HIT_COLUMNS, Hit, to_hit
from imagebind.search.store import Store, store_errors

MIN_APPROXIMATE_ROWS = 20_000
ROWS_PER_PARTITION = 2_000
MIN_ONE_BIT_DIM = 512  # vectors at least this long need only one bit per dimension
SHORT_VECTOR_BITS = 4  # per dimension of shorter vectors
NPROBES = 32  # partitions searched
REFINE_FACTOR = 16  # candidates per hit whose full vectors are read
SAME_ITEM_COSINE = 0.9999  # half precision and the batch's composition change a cosine by less
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
            scales[kind] = calibration.scale(vector, stored_kind(kind))
        cosine = 1 - record["_distance"]  # LanceDB's dot distance is 1 - dot product
        hits.append(to_hit(record, cosine=cosine, score=scales[kind].score(cosine)))
    return hits


def is_same_item(hit: Hit) -> bool:
    """Whether a hit has the query's vector, so that it is the query's own file or a copy of it.

    Its calibrated score may be lower than those of other media types, because the cosines of a query with its
    own media type have a large standard deviation. Texts are excluded: many rows may have the same caption as
    the query, and they would fill the list.
    """
    return hit.kind is not MediaKind.TEXT and hit.cosine >= SAME_ITEM_COSINE


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


def is_approximate_worthwhile(rows: int) -> bool:
    """Whether a table of this many vectors should have an approximate index."""
    return rows >= MIN_APPROXIMATE_ROWS


def build_approximate(table: Any, rows: int, *, partitions: int | None = None) -> None:
    """Build or rebuild the approximate index of a table's `vector` column: RaBitQ codes in an inverted file.

    One bit per dimension suffices for long vectors, such as the released model's 1024 dimensions. Short
    vectors, such as the small model's 128, need more: 4 bits raised recall@10 from 0.98 to 0.999.
    """
    from lancedb.index import Bitmap, IvfRq

    table.create_index("kind", config=Bitmap(), replace=True)  # for searches of one media type
    count = partitions or max(2 ** round(math.log2(rows / ROWS_PER_PARTITION)), 1)
    width = table.schema.field("vector").type.list_size
    bits = 1 if width >= MIN_ONE_BIT_DIM else SHORT_VECTOR_BITS
    config = IvfRq(distance_type="dot", num_partitions=count, num_bits=bits)
    table.create_index("vector", config=config, replace=True)
