"""Reads variables of MATLAB files before version 7.3; those of 7.3 are HDF5, which h5py reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagebind.errors import MediaError, MissingMediaError, import_extra

EXTRA, PURPOSE = "evaluation", "reading MATLAB files"


def mat_variables(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return variables of a file as scipy reads them, without dimensions of length 1.

    Raises:
        MediaError: the file is missing or damaged, or lacks a variable.
        MissingExtraError: scipy is not installed.
    """
    scipy_io = import_extra("scipy.io", extra=EXTRA, purpose=PURPOSE)
    expected = f"a MATLAB file with {', '.join(names)}"
    if not path.is_file():
        raise MissingMediaError(str(path), got="no such file", hint=f"it should be {expected}")
    try:
        found: dict[str, Any] = scipy_io.loadmat(str(path), squeeze_me=True, variable_names=list(names))
    except Exception as error:  # scipy raises many types for damaged files
        raise MediaError(str(path), got=f"one that cannot be read ({error})", expected=expected) from error
    if missing := [name for name in names if name not in found]:
        raise MediaError(str(path), got=f"one without {', '.join(missing)}", expected=expected)
    return found
