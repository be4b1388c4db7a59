"""Local copies of remote files and folders, each used until the remote version changes."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imagebind.io.atomic import temporary_beside

MAX_COPY_NAME_BYTES = 200  # of the end of a name; with a suffix such as .stamp, names have at most 255 bytes
URI_HASH_DIGITS = 32  # hexadecimal digits of a URI's SHA-256 in its folder name

CacheDir = str | os.PathLike[str] | None


def home_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in place of `~` at its beginning; unchanged for an unknown user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (`Path.expanduser` raises for an unknown user)


def cache_folder(cache_dir: CacheDir = None) -> Path:
    """Return the folder of downloads: `cache_dir`, or a folder that the environment chooses.

    In this order: `$TORCH_HOME/hub/checkpoints`, `$HF_HOME/imagebind`, torch's default below
    `$XDG_CACHE_HOME` or `~/.cache`.
    """
    if cache_dir is not None:
        return home_path(cache_dir)
    if torch_home := os.environ.get("TORCH_HOME"):
        return home_path(torch_home) / "hub" / "checkpoints"
    if hf_home := os.environ.get("HF_HOME"):
        return home_path(hf_home) / "imagebind"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return home_path(base) / "torch" / "hub" / "checkpoints"


def copy_path(uri: str, cache_dir: CacheDir = None) -> Path:
    """Return the path of a URI's copy: its name, or the end of a long one, in a folder of its own."""
    uri_hash = hashlib.sha256(uri.encode()).hexdigest()[:URI_HASH_DIGITS]
    name = re.split(r"[?#]", uri)[0].rstrip("/").rpartition("/")[2]
    name = name.encode()[-MAX_COPY_NAME_BYTES:].decode(errors="ignore")
    return cache_folder(cache_dir) / "by-address" / uri_hash / (name if name.strip(".") else "file")


def update_copy(copy: Path, version: object, fetch: Callable[[Path], None]) -> None:
    """Fetch a file or folder, unless the copy has this version.

    Args:
        version: the version of the remote file, as a JSON value; an empty version never matches.
        fetch: writes the file or folder to a path.
    """
    stamp = copy.with_name(copy.name + ".stamp")
    if version and copy.exists() and _read_json(stamp) == version:
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(copy)
    try:
        fetch(part)
        stamp.unlink(missing_ok=True)  # it would describe the new file if the process were killed below
        _remove_folder(copy)
        part.replace(copy)
        stamp.write_text(json.dumps(version))
    finally:
        _remove_folder(part)
        part.unlink(missing_ok=True)


def _remove_folder(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


def _read_json(path: Path) -> object:
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None
