"""Queries: one item of any modality, a vector, or a weighted sum of several."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from imagebind.embedder import Embedder, combine
from imagebind.errors import MediaError
from imagebind.intake.items import items_of
from imagebind.intake.requests import Request, Views, identify
from imagebind.io.source import is_unnamed
from imagebind.modality import BoundModality, MediaKind, ModalityType
from imagebind.transforms.audio import AudioTransform


@dataclass(frozen=True, eq=False)
class Query:
    """A unit vector (e,), and the media types of the items from which it was computed."""

    vector: np.ndarray
    kinds: frozenset[MediaKind] = frozenset()


def named_queries(queries: Any, embedder: Embedder) -> dict[str, Query]:
    """Return queries by name, in order.

    The keys of a mapping are the names: {"dog": [(Path("bark.wav"), 0.5), ("a dog", 0.5)]}. The queries of a
    sequence are named after their items, with a number if a name repeats. A single item is one query, also
    {"audio": "bark.wav"}: a mapping with one media type or modality of a pack, and numbers as options.

    Raises:
        MediaError: an item cannot be embedded.
        ValueError: there are no queries, or for the reasons of `to_query`.
    """
    if isinstance(queries, Mapping) and not _is_item(queries, embedder.bound):
        named = dict(queries)
    else:
        listed = [queries] if is_weighted(queries) else list(items_of(queries)[0])
        names = distinct_names(_name(each, embedder.bound) for each in listed)
        named = dict(zip(names, listed, strict=True))
    if not named:
        raise ValueError("queries: expected one or more, got none")
    return {name: _named_query(name, query, embedder) for name, query in named.items()}


def _named_query(name: str, query: Any, embedder: Embedder) -> Query:
    if isinstance(query, Query):
        return query
    try:
        return to_query(query, embedder, embed_dim=embedder.embed_dim)
    except MediaError as error:
        if is_unnamed(error.item):
            raise error.renamed(f"query {name!r}, {error.item}") from error
        raise


def _is_item(mapping: Mapping[Any, Any], bound: Iterable[str]) -> bool:
    """Whether a mapping is one item with its options, such as {"imu": array, "rate": 200}."""
    kinds = {*map(str, MediaKind), ModalityType.VISION.value, *bound}
    given = [value for key, value in mapping.items() if key in kinds]
    options = [value for key, value in mapping.items() if key not in kinds]
    return (
        len(given) == 1
        and not (isinstance(given[0], Query) or is_weighted(given[0]) or _is_vector(given[0]))
        and all(isinstance(value, int | float) for value in options)
    )


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


def weighted(query: Any) -> Sequence[tuple[Any, float]]:
    """Return a query as (item, weight) pairs; an item or a vector has the weight 1."""
    return query if is_weighted(query) else [(query, 1.0)]


def to_query(query: Any, embedder: Embedder | None, *, embed_dim: int) -> Query:
    """Turn an item, a vector (e,), or [(item or vector, weight), …] with any weights into a `Query`.

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
        ValueError: a vector has another length, an item needs an embedder, or as `combine`.
    """
    query = weighted(query)
    bound = () if embedder is None else embedder.bound
    requests: list[Request] = [identify(item, bound=bound) for item, _ in query if not _is_vector(item)]
    if requests and embedder is None:
        raise ValueError("query: expected a vector, or an index opened with an embedder, got an item")
    embedded = iter(_embedded(requests, embedder) if requests and embedder is not None else ())
    parts = [
        (_checked(item, embed_dim) if _is_vector(item) else next(embedded), weight) for item, weight in query
    ]
    return Query(combine(parts), frozenset(request.kind for request in requests))


def _embedded(requests: Sequence[Request], embedder: Embedder) -> np.ndarray:
    """Return the vectors of items: (n, e).

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
    """
    vectors: list[np.ndarray] = []
    results = embedder.encode_stream(requests, inspect=lambda views: is_silent(views, embedder))
    with closing(results) as stream:
        for result in stream:
            if result.error is not None:
                raise result.error
            assert result.vector is not None
            if result.inspected:
                raise MediaError(result.name, got="silence", expected="audio that can be heard")
            vectors.append(result.vector)
    return np.stack(vectors)


def is_silent(views: Views, embedder: Embedder) -> bool:
    """Return whether these are views of silent audio."""
    transform = embedder.transform(views.kind)
    return isinstance(transform, AudioTransform) and transform.is_silent(views.views)


def _is_vector(item: object) -> bool:
    return isinstance(item, np.ndarray) and item.ndim == 1 and np.issubdtype(item.dtype, np.floating)


def _checked(vector: np.ndarray, embed_dim: int) -> np.ndarray:
    if vector.shape != (embed_dim,):
        raise ValueError(f"query: expected a vector ({embed_dim},), got {vector.shape}")
    return vector


def _name(query: Any, bound: Sequence[BoundModality]) -> str:
    if is_weighted(query):
        return " + ".join(_name(item, bound) for item, _ in query)
    if isinstance(query, Query) or _is_vector(query):
        return "vector"
    request = identify(query, bound=bound)
    return request.name if request.kind is MediaKind.TEXT else PurePath(request.name).name


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return names with a number after those that repeat an earlier one: "dog", "dog (2)"."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name} ({number})"
        found.append(distinct)
    return found
