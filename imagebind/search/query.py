"""What is looked for: one thing, or several with weights, in one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imagebind.embedder import Embedder, combine
from imagebind.intake.requests import Request, identify
from imagebind.modality import MediaKind


@dataclass(frozen=True, eq=False)
class Query:
    """A vector (e,) of unit length, and the kinds of media that it was made of."""

    vector: np.ndarray
    kinds: frozenset[MediaKind] = frozenset()


def is_weighted(query: object) -> bool:
    """Whether it is a list of (item, weight) pairs."""
    return (
        isinstance(query, Sequence)
        and not isinstance(query, str | bytes)
        and len(query) > 0
        and all(
            isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], int | float) for part in query
        )
    )


def to_query(query: Any, embedder: Embedder | None, *, embed_dim: int) -> Query:
    """One item, a vector (e,), or [(item or vector, weight), …] where a weight may be negative.

    Raises:
        MediaError: an item that cannot be embedded.
        ValueError: a vector of another width, or a sum that is nothing, or an item and no embedder.
    """
    if not is_weighted(query):
        if _is_vector(query):
            return Query(combine([(_checked(query, embed_dim), 1.0)]))
        query = [(query, 1.0)]
    requests: list[Request] = [identify(item) for item, _ in query if not _is_vector(item)]
    if requests and embedder is None:
        raise ValueError("query of items: expected an index opened with an embedder, or a vector instead")
    embedded = iter(embedder.encode(requests) if requests and embedder is not None else ())
    parts = [
        (_checked(item, embed_dim) if _is_vector(item) else next(embedded), weight) for item, weight in query
    ]
    return Query(combine(parts), frozenset(request.kind for request in requests))


def _is_vector(item: object) -> bool:
    return isinstance(item, np.ndarray) and item.ndim == 1 and np.issubdtype(item.dtype, np.floating)


def _checked(vector: np.ndarray, embed_dim: int) -> np.ndarray:
    if vector.shape != (embed_dim,):
        raise ValueError(f"query: expected a vector ({embed_dim},), got {vector.shape}")
    return vector
