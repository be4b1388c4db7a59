"""How `imagebind_tiny` is trained: its pairs, initial weights, recipe and figures."""
