"""Search filters as SQL conditions for LanceDB."""

import math
import re
from collections.abc import Iterable

from imagebind.media.paths import glob_pattern
from imagebind.modality import MediaKind
from imagebind.search.rows import Metadata, metadata_text

MAX_METADATA_CHARACTERS = 65_536  # of one name and its value, as JSON

# Matches a row's metadata up to the start of an entry. A name may end in a quotation mark, and a text may
# look like an entry, so the pattern matches all entries before the required one.
_STRING = r'"([^"\\]|\\.)*"'
_ENTRIES = rf"(?s)^\{{({_STRING}:({_STRING}|[^\",]+),)*"


def where(
    *,
    kinds: Iterable[MediaKind] | None = None,
    path: str | None = None,
    between: tuple[float, float] | None = None,
    metadata: Metadata | None = None,
) -> str | None:
    """Return an SQL condition for the rows that match all filters; None without filters.

    Args:
        path: a pattern: `*` and `?` within a folder, `**` across folders; a pattern that does not start with
            `/` may match from any folder on.
        between: start and end in seconds, may be infinite; a row matches if its span overlaps, so a row
            without a time does not.
        metadata: required names and values.

    Raises:
        ValueError: the pattern has too many characters or wildcards, `between` is NaN or ends before it
            starts, a metadata entry is too long, or no row can have the path or metadata.
    """
    conditions = []
    if kinds is not None:
        conditions.append(in_list("kind", [kind.value for kind in kinds]))
    if path is not None:
        conditions.append(f"regexp_like(path, {quoted(glob_pattern(path))})")
    if between is not None:
        first, last = between
        if not first <= last:
            raise ValueError(f"between: expected start <= end in seconds, got {first} and {last}")
        sides = [f'"start" <= {float(last)!r}'] if last < math.inf else ['"start" IS NOT NULL']
        sides += [f'"end" >= {float(first)!r}'] if first > -math.inf else []
        conditions.append(" AND ".join(sides))
    for name, value in (metadata or {}).items():
        entry = metadata_text({name: value})[1:-1]
        if len(entry) > MAX_METADATA_CHARACTERS:
            raise ValueError(
                f"metadata {name[:40]!r}: expected at most {MAX_METADATA_CHARACTERS} characters, "
                f"got {len(entry)} as JSON"
            )
        pattern = f"{_ENTRIES}{re.escape(entry)}[,}}]"
        conditions.append(f"contains(metadata, {quoted(entry)}) AND regexp_like(metadata, {quoted(pattern)})")
    return " AND ".join(conditions) or None


def in_list(column: str, values: Iterable[str]) -> str:
    """Return the condition that a column has one of these values; without values it is always false."""
    listed = ", ".join(map(quoted, values))
    return f"{column} IN ({listed})" if listed else "false"


def quoted(text: str) -> str:
    """Return text as an SQL string literal.

    Raises:
        ValueError: the text has a lone surrogate, which no row can contain.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected text that UTF-8 can encode, got {text[:40]!r}") from None
    return "'" + text.replace("'", "''") + "'"
