"""Which rows a search looks at, in the SQL of LanceDB."""

import math
import re
from collections.abc import Iterable

from imagebind.media.paths import glob_pattern
from imagebind.modality import MediaKind
from imagebind.search.rows import Metadata, metadata_text

METADATA_CHARACTERS = 65_536  # of one name and its value

# A row's metadata up to the start of one of its entries. A name may end in a quote, a text may hold what
# looks like an entry: only reading the entries from the first on tells where one starts.
_STRING = r'"([^"\\]|\\.)*"'
_ENTRIES = rf"(?s)^\{{({_STRING}:({_STRING}|[^\",]+),)*"


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
        ValueError: a pattern that is too long, seconds in the wrong order, or metadata that no row can have.
    """
    conditions = []
    if kinds is not None:
        conditions.append(in_list("kind", [kind.value for kind in kinds]))
    if path is not None:
        conditions.append(f"regexp_like(path, {quoted(glob_pattern(path))})")
    if between is not None:
        first, last = between
        if not first <= last:
            raise ValueError(f"between: expected seconds that rise, got {first} and {last}")
        sides = [f'"start" <= {float(last)!r}'] if last < math.inf else ['"start" IS NOT NULL']
        sides += [f'"end" >= {float(first)!r}'] if first > -math.inf else []
        conditions.append(" AND ".join(sides))
    for name, value in (metadata or {}).items():
        entry = metadata_text({name: value})[1:-1]
        if len(entry) > METADATA_CHARACTERS:
            raise ValueError(
                f"metadata {name[:40]!r}: expected at most {METADATA_CHARACTERS} characters, got {len(entry)}"
            )
        pattern = f"{_ENTRIES}{re.escape(entry)}[,}}]"
        conditions.append(f"contains(metadata, {quoted(entry)}) AND regexp_like(metadata, {quoted(pattern)})")
    return " AND ".join(conditions) or None


def in_list(column: str, values: Iterable[str]) -> str:
    """That a column has one of these values; never true of none."""
    listed = ", ".join(map(quoted, values))
    return f"{column} IN ({listed})" if listed else "false"


def quoted(text: str) -> str:
    """Return a string of SQL.

    Raises:
        ValueError: a lone surrogate, which no row holds.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected text that UTF-8 can hold, got {text[:40]!r}") from None
    return "'" + text.replace("'", "''") + "'"
