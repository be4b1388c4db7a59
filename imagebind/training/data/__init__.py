"""The training data pipeline: mixing data sets, augmenting, loading."""
