"""Index the media files of folders, and keep an index up to date with them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagebind.search.crawl.crawler import crawl

__all__ = ["crawl"]


def __getattr__(name: str) -> Any:
    if name != "crawl":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from imagebind.search.crawl import crawler

    return crawler.crawl
