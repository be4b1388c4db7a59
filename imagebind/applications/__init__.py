"""Applications of the embedding space: detection, generation, and moments in recordings."""
