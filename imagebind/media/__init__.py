"""Media files and arrays: what they are, and reading them. `transforms` makes tensors of what is read."""
