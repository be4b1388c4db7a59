"""Mark the options of transforms that describe one item, such as the unit of its depth.

`--map` sets them for the files that match a pattern. The embedding space does not depend on them.
"""

from dataclasses import fields
from typing import Any

PER_ITEM = {"per_item": True}  # metadata of the fields of these options


def item_options(transform: Any) -> frozenset[str]:
    """Return the names of a transform's options that describe one item."""
    return frozenset(option.name for option in fields(transform) if option.metadata.get("per_item"))
