"""Detect the types of media files, and read files and arrays. `transforms` converts them to tensors."""
