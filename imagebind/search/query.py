"""Combine the items of a query, with their weights, into one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imagebind.embedder import Embedder, combine
from imagebind.intake.requests import Request, identify
from imagebind.modality import MediaKind


@dataclass(frozen=True, eq=False)
class Query:
    """A unit vector (e,), and the media types of the items that it was computed from."""

    vector: np.ndarray
    kinds: frozenset[MediaKind] = frozenset()


def is_weighted(query: object) -> bool:
    """Whether a query is a sequence of (item, weight) pairs."""
    return (
        isinstance(query, Sequence)
        and not isinstance(query, str | bytes)
        and len(query) > 0
        and all(
            isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], int | float) for part in query
        )
    )


def to_query(query: Any, embedder: Embedder | None, *, embed_dim: int) -> Query:
    """Turn an item, a vector (e,), or [(item or vector, weight), …] with any weights into a `Query`.

    Raises:
        MediaError: an item cannot be embedded.
        ValueError: a vector has another length, the weighted sum is zero, or an item needs an embedder.
    """
    if not is_weighted(query):
        if _is_vector(query):
            return Query(combine([(_checked(query, embed_dim), 1.0)]))
        query = [(query, 1.0)]
    requests: list[Request] = [identify(item) for item, _ in query if not _is_vector(item)]
    if requests and embedder is None:
        raise ValueError("query: expected an index opened with an embedder to search by items, or a vector")
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
