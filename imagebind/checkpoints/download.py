"""Find or download the released weights; a downloaded file is complete and verified.

A download is written to `<name>.part`, which a later call resumes, and renamed once its size and SHA-256
are right. Hashing 4.8 GB takes seconds, so it is done once: `<name>.verified` beside the file stores the
hash with the file's size and modification time.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from imagebind.checkpoints.formats import read_weights
from imagebind.errors import CheckpointError
from imagebind.io.atomic import flush_to_disk
from imagebind.io.http import fetch
from imagebind.io.local_copy import CacheDir, cache_folder
from imagebind.io.uri import OFFLINE_SWITCHES, is_offline

logger = logging.getLogger(__name__)

WEIGHTS_LICENCE = (
    "The ImageBind weights are Meta's, not this library's, and not for commercial use: "
    "CC BY-NC-SA 4.0, creativecommons.org/licenses/by-nc-sa/4.0 (the original's README says CC-BY-NC 4.0)."
)


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """A published file, with the size and hash that verify a copy."""

    name: str
    url: str
    size: int  # bytes
    sha256: str  # hexadecimal
    licence: str  # a sentence that is shown before a download


IMAGEBIND_HUGE = ReleasedFile(
    name="imagebind_huge.pth",
    url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
    size=4_803_584_173,
    sha256="d6f6c22bedcc90708448d5d2fbb7b2db9c73f505dc89bd0b2e09b23af1b62157",
    licence=WEIGHTS_LICENCE,
)

ORIGINAL_FOLDER = ".checkpoints"  # in the working directory; the original project downloads to it
HASH_CHUNK_BYTES = 1 << 20


def verify(path: str | os.PathLike[str], released: ReleasedFile = IMAGEBIND_HUGE) -> None:
    """Read the whole file and check that it is the released one.

    Raises:
        CheckpointError: it is unreadable, or has another size or SHA-256; the message has both values.
    """
    digest = hashlib.sha256()
    try:
        size = Path(path).stat().st_size
        if size != released.size:
            raise CheckpointError(
                f"{path}: expected {released.size:,} bytes of {released.name}, got {size:,}"
            )
        with Path(path).open("rb") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise CheckpointError(
            f"{path}: expected {released.name}, got a file that cannot be read "
            f"({getattr(error, 'strerror', error)})"
        ) from error
    if digest.hexdigest() != released.sha256:
        raise CheckpointError(
            f"{path}: expected SHA-256 {released.sha256} of {released.name}, got {digest.hexdigest()}; "
            "the file is damaged, or another one"
        )


def verify_once(path: Path, released: ReleasedFile = IMAGEBIND_HUGE) -> None:
    """Call `verify`, unless the file was verified before at its present size and modification time.

    Raises:
        CheckpointError: as `verify`.
    """
    with suppress(OSError, ValueError):  # no stamp, or an invalid one: verify
        if json.loads(_stamp_path(path).read_bytes()) == _stamp(path, released):
            return
    verify(path, released)
    _write_stamp(path, released)


def download(
    released: ReleasedFile = IMAGEBIND_HUGE,
    *,
    cache_dir: CacheDir = None,
    offline: bool | None = None,
    show_progress: bool = True,
) -> Path:
    """Return a local copy: the original project's download, a verified file in the cache, or a new download.

    Weights in `.checkpoints/imagebind_huge.pth`, where the original looks, are used even if they are not the
    released ones (fine-tuned ones, for example), with a warning; an incomplete file is not used.

    If two processes need the file at once, one downloads and the other waits. An interrupted download is
    resumed, here or in a later call. `cache_dir` and `offline` default to the environment: see
    `cache_folder` and `is_offline`.

    Raises:
        CheckpointError: offline without a copy, a failing server or one with another file, no disk space, or
            a cache folder that is not writable.
    """
    folder = cache_folder(cache_dir)
    final = folder / released.name
    candidates = [Path.cwd() / ORIGINAL_FOLDER / released.name, final]
    path, problems = _find_copy(candidates, released)
    if path is not None:
        return path
    if is_offline(offline):
        raise CheckpointError(
            f"{released.name}: no local copy, and the network is switched off (offline=True or one of "
            f"{', '.join(OFFLINE_SWITCHES)}): {'; '.join(problems)}. Download {released.url} elsewhere and "
            f"put it at {final}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive_lock(folder / (released.name + ".lock")):
            path, _ = _find_copy([final], released)  # another process may have downloaded it meanwhile
            if path is not None:
                return path
            part = folder / (released.name + ".part")
            logger.info("downloading %s to %s. %s", released.url, final, released.licence)
            _fetch_verified(released, part, show_progress=show_progress)
            part.replace(final)
            _write_stamp(final, released)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or folder}: cannot be written ({error.strerror}) while downloading "
            f"{released.name}; set a writable folder with enough space with cache_dir, "
            "TORCH_HOME or HF_HOME"
        ) from error
    return final


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _stamp(path: Path, released: ReleasedFile) -> dict[str, str | int]:
    status = path.stat()
    return {"sha256": released.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _write_stamp(path: Path, released: ReleasedFile) -> None:
    with suppress(OSError):  # read-only folder: the next call verifies again
        _stamp_path(path).write_text(json.dumps(_stamp(path, released)))


def _find_copy(candidates: list[Path], released: ReleasedFile) -> tuple[Path | None, list[str]]:
    """Return the first path that has the file, or None, and the problems of the paths before it."""
    problems = []
    for candidate in candidates:
        try:
            candidate.stat()
        except OSError as error:
            problems.append(f"{candidate} ({error.strerror})")
            continue
        try:
            verify_once(candidate, released)
        except CheckpointError as error:
            if candidate.parent.name == ORIGINAL_FOLDER and _holds_weights(candidate):
                logger.warning("using a file that is not the released one: %s", error)
                return candidate, problems
            logger.warning("not used: %s", error)
            problems.append(str(error))
        else:
            return candidate, problems
    return None, problems


def _holds_weights(path: Path) -> bool:
    try:
        return path.is_file() and bool(read_weights(path, mmap=True))
    except CheckpointError:
        return False


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a lock file; the system releases it if the process is killed."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is downloading; waiting for %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_verified(released: ReleasedFile, part: Path, *, show_progress: bool) -> None:
    """Complete the part file and verify it; if a resumed file is wrong, download it again from the start."""
    resumed = part.exists()
    with _progress(released, shown=show_progress) as report:
        fetch(released.url, part, size=released.size, report=report)
    try:
        verify(part, released)
    except CheckpointError as error:
        part.unlink()
        if not resumed:
            raise CheckpointError(f"{released.url}: the server sent another file: {error}") from error
        logger.warning("downloading again from the start: %s", error)
        _fetch_verified(released, part, show_progress=show_progress)
        return
    flush_to_disk(part)


@contextmanager
def _progress(released: ReleasedFile, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show the licence and a progress bar; yield a function that takes the number of received bytes."""
    if not shown:
        yield lambda received: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        progress.console.print(released.licence)
        task = progress.add_task(released.name, total=released.size)
        yield lambda received: progress.update(task, completed=received)
