"""Data sets of pairs: manifests, tar shards and the layouts of published data sets."""
