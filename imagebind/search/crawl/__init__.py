"""Index the media files of folders, and keep an index up to date with them."""
