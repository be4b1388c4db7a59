"""`imagebind generate`."""


def generate() -> None:
    """Not written yet."""
