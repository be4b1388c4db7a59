"""Training: a world to train on, and what trains on it."""
