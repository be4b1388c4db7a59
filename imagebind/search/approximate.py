"""When a table of vectors is searched approximately, and how it is built and asked.

Numbers by measurement, see `imagebind benchmark search`: below `MIN_ROWS` looking at every vector is fast
enough, and its recall is 1.
"""

import math
from typing import Any

MIN_ROWS = 20_000
ROWS_A_PARTITION = 2_000
WIDE = 512  # numbers of a vector, from which on one bit each will do
NARROW_BITS = 4
NPROBES = 32  # partitions that a search looks into
REFINE = 16  # candidates for each hit whose whole vectors are read


def pays(rows: int) -> bool:
    """Whether an index of this many vectors should be approximate."""
    return rows >= MIN_ROWS


def build(table: Any, rows: int, *, partitions: int | None = None) -> None:
    """Make or renew the approximate index of a table's `vector` column: RaBitQ codes in an inverted file.

    A code of one bit a number is fine where there are many numbers, as in the released model's 1024; short
    vectors, as the small model's 128, have more bits: recall@10 of 0.98 became 0.999 with 4 of them.
    """
    from lancedb.index import Bitmap, IvfRq

    table.create_index("kind", config=Bitmap(), replace=True)  # by which searches of one kind are narrowed
    count = partitions or max(2 ** round(math.log2(rows / ROWS_A_PARTITION)), 1)
    width = table.schema.field("vector").type.list_size
    bits = 1 if width >= WIDE else NARROW_BITS
    config = IvfRq(distance_type="dot", num_partitions=count, num_bits=bits)
    table.create_index("vector", config=config, replace=True)
