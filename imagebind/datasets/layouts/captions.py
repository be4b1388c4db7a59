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
    """Return a retrieval set in which each caption is a query for its item.

    Args:
        items: the candidates by name, in order.
        captions: pairs of an item's name and a caption; captions of unknown names are left out.

    Raises:
        MediaError: a caption is empty, or there is none and nothing is missing or damaged.
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
