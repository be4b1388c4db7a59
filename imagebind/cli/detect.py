"""`imagebind detect`."""


def detect() -> None:
    """Not written yet."""
