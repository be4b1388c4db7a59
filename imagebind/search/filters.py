"""Which rows a search looks at, in the SQL of LanceDB."""

import math
import re
from collections.abc import Iterable

from imagebind.modality import MediaKind
from imagebind.search.rows import Metadata, metadata_text


def where(
    *,
    kinds: Iterable[MediaKind] | None = None,
    path: str | None = None,
    between: tuple[float, float] | None = None,
    metadata: Metadata | None = None,
) -> str | None:
    """The condition that all of these hold; None where there are none.

    Args:
        path: a pattern: `*` and `?` within a folder, `**` across folders; one that does not start with `/`
            may match from any folder on.
        between: seconds, without end where infinite; rows whose span overlaps, so none of those without time.
        metadata: values that a row has to have.

    Raises:
        ValueError: seconds in the wrong order, or metadata that no row can have.
    """
    conditions = []
    if kinds is not None:
        conditions.append(in_list("kind", [kind.value for kind in kinds]))
    if path is not None:
        conditions.append(f"regexp_like(path, {quoted(glob_pattern(path))})")
    if between is not None:
        first, last = between
        if not first <= last:
            raise ValueError(f"between wants seconds that rise, got {first} and {last}")
        sides = [f'"start" <= {float(last)!r}'] if last < math.inf else ['"start" IS NOT NULL']
        sides += [f'"end" >= {float(first)!r}'] if first > -math.inf else []
        conditions.append(" AND ".join(sides))
    for name, value in (metadata or {}).items():
        entry = metadata_text({name: value})[1:-1]
        conditions.append(
            f"(contains(metadata, {quoted(entry + ',')}) OR contains(metadata, {quoted(entry + '}')}))"
        )
    return " AND ".join(conditions) or None


def in_list(column: str, values: Iterable[str]) -> str:
    """That a column has one of these values; never true of none."""
    listed = ", ".join(map(quoted, values))
    return f"{column} IN ({listed})" if listed else "false"


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def glob_pattern(glob: str) -> str:
    """A regular expression, in a syntax that Python and Rust share, of a pattern of paths."""
    parts = re.split(r"(\*\*/?|\*|\?)", glob)
    wild = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(wild[part] if part in wild else re.escape(part) for part in parts)
    start = "^" if glob.startswith(("/", "**")) else "^(.*/)?"
    return f"(?s){start}{body}$"
