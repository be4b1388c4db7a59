"""Captions as queries, and the items that they describe as candidates."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagebind.datasets.labelled import NamedItem, RetrievalSet
from imagebind.errors import MediaError


def captioned(
    root: Path,
    items: Mapping[str, Any],
    captions: Iterable[tuple[str, str]],
    *,
    missing: Sequence[str] = (),
    damaged: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> RetrievalSet:
    """Return a retrieval of items by their captions, each caption a query.

    Args:
        items: the candidates by name, in order.
        captions: names of items with a caption; those of other names are left out.

    Raises:
        MediaError: there are no captions of the items, and nothing is missing.
    """
    number_of = {name: number for number, name in enumerate(items)}
    known = [(name, text.strip()) for name, text in captions if name in number_of]
    if not known and not missing and not damaged:
        raise MediaError(str(root), got="none", expected="captions of the files of the split")
    if empty := [name for name, text in known if not text]:
        raise MediaError(str(root), got="an empty text", expected=f"a caption of {empty[0]}")
    return RetrievalSet(
        queries=[NamedItem(item=text, name=text) for _, text in known],
        candidates=[NamedItem(item=item, name=name) for name, item in items.items()],
        relevant=[(number_of[name],) for name, _ in known],
        missing=missing,
        damaged=damaged,
        notes=notes,
    )
