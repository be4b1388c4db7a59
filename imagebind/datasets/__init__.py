"""Pairs and samples of files: manifests, tar shards and the layouts of published data sets."""
