"""Weights: their formats, loading and download, and the named models that are built with them."""
