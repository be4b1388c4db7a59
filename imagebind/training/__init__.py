"""Training: recipes, the training loop, data loading and the recipe of `imagebind_tiny`."""
