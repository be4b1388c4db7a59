"""`imagebind moments`."""


def moments() -> None:
    """Not written yet."""
