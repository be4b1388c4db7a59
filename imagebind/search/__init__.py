"""Search embedded files by any media type: the index, the crawl that fills it, and its web page.

    from imagebind.search import Index

    index = Index.open("media.lance", embedder, create=True)
    index.add([Path("dog.jpg"), Path("bark.wav")])
    index.search("a dog barking")

Names are imported on first use, since importing LanceDB takes a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagebind.search.index import Index, IndexStats
    from imagebind.search.rows import FileState, Hit, IndexRow
    from imagebind.search.store import SearchIndexError
    from imagebind.space import Space, SpaceMismatchError

_MODULE_OF_NAME = {
    "Index": "imagebind.search.index",
    "IndexStats": "imagebind.search.index",
    "FileState": "imagebind.search.rows",
    "Hit": "imagebind.search.rows",
    "IndexRow": "imagebind.search.rows",
    "Space": "imagebind.space",
    "SpaceMismatchError": "imagebind.space",
    "SearchIndexError": "imagebind.search.store",
}

__all__ = [
    "FileState",
    "Hit",
    "Index",
    "IndexRow",
    "IndexStats",
    "SearchIndexError",
    "Space",
    "SpaceMismatchError",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name]), name)
