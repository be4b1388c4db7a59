"""Data for training and evaluation: manifests, tar shards, published data sets and the user's own files."""
