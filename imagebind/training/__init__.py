"""Training: recipes, the training loop, data loading and the recipes of `imagebind_tiny`."""
