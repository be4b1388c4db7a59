"""Many rows of the table at once, by few pieces of SQL and in few commits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imagebind.search.filters import in_list
from imagebind.search.rows import TEXT, UNREAD, to_columns

VALUES_A_CONDITION = 500  # in one piece of SQL
TRIES = 5  # to take rows by numbers that another process may change


def delete(table: Any, column: str, values: Sequence[str]) -> int:
    """Take out the rows that have one of these values; returns how many there were."""
    return sum(table.delete(condition).num_deleted_rows for condition in _conditions(column, values))


def move_paths(table: Any, moves: Mapping[str, tuple[str, int]], embed_dim: int) -> None:
    """Give rows another path and time of change: {path that was: (path that is, mtime_ns)}."""
    for condition in _conditions("path", list(moves)):
        rows = table.search().select(["id", "path"]).where(condition).to_arrow()
        if not len(rows):
            continue
        now = [moves[path] for path in rows["path"].to_pylist()]
        columns = {
            "id": rows["id"],
            "path": [path for path, _ in now],
            "mtime_ns": [mtime_ns for _, mtime_ns in now],
        }
        table.merge_insert("id").when_matched_update_all().execute(to_columns(columns, embed_dim))


def said_of_paths(table: Any, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The metadata of all rows of each path that users gave it."""
    said: dict[str, dict[str, Any]] = {}
    for condition in _conditions("path", paths):
        search = table.search().select(["path", "metadata"]).where(f"metadata <> '{{}}' AND {condition}")
        for record in search.to_list():
            said.setdefault(record["path"], {}).update(json.loads(record["metadata"]))
    return {path: {k: v for k, v in each.items() if k not in (TEXT, UNREAD)} for path, each in said.items()}


def sample(table: Any, n: int, condition: str | None, *, seed: int) -> list[dict[str, Any]]:
    """`n` rows at random of those under a condition, or all where there are fewer."""
    records: list[dict[str, Any]] = []
    for _ in range(TRIES):
        scan = table.search().with_row_id(True).select(["kind"])
        ids = (scan if condition is None else scan.where(condition)).to_arrow()["_rowid"].to_numpy()
        if len(ids) > n:
            ids = np.random.default_rng(seed).choice(ids, n, replace=False)
        records = table.take_row_ids(sorted(ids.tolist())).to_list() if len(ids) else []
        if len(records) == len(ids):
            break  # else another process has put rows elsewhere in between
    return records


def _conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(values), VALUES_A_CONDITION):
        yield in_list(column, values[start : start + VALUES_A_CONDITION])
