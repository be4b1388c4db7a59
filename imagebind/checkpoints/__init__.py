"""Checkpoints: file formats, loading, download, and the named models with their weights."""
