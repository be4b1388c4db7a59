"""Change or read many rows of a table with few SQL queries and commits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imagebind.search.filters import in_list
from imagebind.search.rows import TEXT_KEY, UNREAD_KEY, to_columns

VALUES_PER_CONDITION = 500  # in one SQL condition
SAMPLE_TRIES = 5  # since another process may renumber the rows between listing and reading them


def delete(table: Any, column: str, values: Sequence[str]) -> int:
    """Delete the rows that have one of these values, and return their number."""
    return sum(table.delete(condition).num_deleted_rows for condition in _conditions(column, values))


def move_paths(table: Any, moves: Mapping[str, tuple[str, int]], embed_dim: int) -> None:
    """Update the paths and modification times of rows: {old path: (new path, mtime_ns)}."""
    for condition in _conditions("path", list(moves)):
        rows = table.search().select(["id", "path"]).where(condition).to_arrow()
        if not len(rows):
            continue
        updated = [moves[path] for path in rows["path"].to_pylist()]
        columns = {
            "id": rows["id"],
            "path": [path for path, _ in updated],
            "mtime_ns": [mtime_ns for _, mtime_ns in updated],
        }
        table.merge_insert("id").when_matched_update_all().execute(to_columns(columns, embed_dim))


def user_metadata(table: Any, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata that users gave the rows of each path, merged by path."""
    merged: dict[str, dict[str, Any]] = {}
    for condition in _conditions("path", paths):
        search = table.search().select(["path", "metadata"]).where(f"metadata <> '{{}}' AND {condition}")
        for record in search.to_list():
            merged.setdefault(record["path"], {}).update(json.loads(record["metadata"]))
    own = (TEXT_KEY, UNREAD_KEY)
    return {path: {k: v for k, v in each.items() if k not in own} for path, each in merged.items()}


def sample(table: Any, n: int, condition: str | None, *, seed: int) -> list[dict[str, Any]]:
    """Return `n` random rows that match a condition, or all if there are fewer."""
    records: list[dict[str, Any]] = []
    for _ in range(SAMPLE_TRIES):
        scan = table.search().with_row_id(True).select(["kind"])
        ids = (scan if condition is None else scan.where(condition)).to_arrow()["_rowid"].to_numpy()
        if len(ids) > n:
            ids = np.random.default_rng(seed).choice(ids, n, replace=False)
        records = table.take_row_ids(sorted(ids.tolist())).to_list() if len(ids) else []
        if len(records) == len(ids):
            break  # otherwise another process has renumbered the rows meanwhile
    return records


def _conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(values), VALUES_PER_CONDITION):
        yield in_list(column, values[start : start + VALUES_PER_CONDITION])
