"""Training of `imagebind_tiny`: its pairs, initial weights, recipe and evaluation figures."""
