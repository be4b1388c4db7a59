"""Training of `imagebind_tiny` and its decoder: pairs, initial weights and recipes."""
