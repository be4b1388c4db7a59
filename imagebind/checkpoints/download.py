"""The released weights: where they may lie already, and how they come here whole or not at all.

A download goes to `<name>.part`, which a later call resumes, and gets its name once its size and SHA-256
are right. Hashing 4.8 GB takes seconds, so that is done once: `<name>.verified` beside the file remembers
the hash with the size and modification time that it was found for.
"""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from imagebind.checkpoints.formats import read_weights
from imagebind.errors import CheckpointError
from imagebind.io.http import copy_body, fetch, open_url, validators
from imagebind.io.uri import OFFLINE_SWITCHES, is_offline

logger = logging.getLogger(__name__)

WEIGHTS_LICENCE = (
    "The ImageBind weights are Meta's, not this library's, and not for commercial use: "
    "CC BY-NC-SA 4.0, creativecommons.org/licenses/by-nc-sa/4.0 (the original's README says CC-BY-NC 4.0)."
)


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """A published file and how to know that a copy is it."""

    name: str
    url: str
    size: int  # bytes
    sha256: str  # hexadecimal
    licence: str  # a sentence for whoever downloads it


IMAGEBIND_HUGE = ReleasedFile(
    name="imagebind_huge.pth",
    url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
    size=4_803_584_173,
    sha256="d6f6c22bedcc90708448d5d2fbb7b2db9c73f505dc89bd0b2e09b23af1b62157",
    licence=WEIGHTS_LICENCE,
)

ORIGINAL_FOLDER = ".checkpoints"  # in the working directory: where the original project downloads to
CHUNK = 1 << 20  # bytes a read
ADDRESS_DIGITS = 32  # of the SHA-256 of an address, hexadecimal


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where downloads are kept: `cache_dir`, or else by environment, as torch.hub and Hugging Face do.

    `$TORCH_HOME/hub/checkpoints`, then `$HF_HOME/imagebind`, then torch's default below
    `$XDG_CACHE_HOME` or `~/.cache`.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if torch_home := os.environ.get("TORCH_HOME"):
        return Path(torch_home).expanduser() / "hub" / "checkpoints"
    if hf_home := os.environ.get("HF_HOME"):
        return Path(hf_home).expanduser() / "imagebind"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "torch" / "hub" / "checkpoints"


def verify(path: str | os.PathLike[str], released: ReleasedFile = IMAGEBIND_HUGE) -> None:
    """Read the whole file and check that it is the released one.

    Raises:
        CheckpointError: unreadable, or of another size or SHA-256; names both.
    """
    digest = hashlib.sha256()
    try:
        size = Path(path).stat().st_size
        if size != released.size:
            raise CheckpointError(f"{path}: {size:,} bytes; {released.name} has {released.size:,}")
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); expected {released.name}"
        ) from error
    if digest.hexdigest() != released.sha256:
        raise CheckpointError(
            f"{path}: SHA-256 {digest.hexdigest()}; {released.name} has {released.sha256}: another file, "
            "or a damaged one"
        )


def verify_once(path: Path, released: ReleasedFile = IMAGEBIND_HUGE) -> None:
    """`verify`, unless the file was verified before and has the same size and modification time since.

    Raises:
        CheckpointError: as `verify`.
    """
    with suppress(OSError, ValueError):  # no stamp, or not one of ours: verify
        if json.loads(_stamp_path(path).read_bytes()) == _stamp(path, released):
            return
    verify(path, released)
    _remember(path, released)


def download(
    released: ReleasedFile = IMAGEBIND_HUGE,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    show_progress: bool = True,
) -> Path:
    """A local copy: one where the original project left it, a verified one in the cache, or a new download.

    Weights in `.checkpoints/imagebind_huge.pth`, where the original looks, are used even if they are not the
    released ones, such as fine-tuned ones, with a warning; a file that is cut short is not.

    Two processes at once make one download: the second waits. A cut download resumes, here or in a later
    call. `cache_dir` and `offline` default to the environment: see `cache_folder` and `is_offline`.

    Raises:
        CheckpointError: offline without a copy, a server that fails or has another file, no space, or a
            cache folder that cannot be written to.
    """
    folder = cache_folder(cache_dir)
    final = folder / released.name
    places = [Path.cwd() / ORIGINAL_FOLDER / released.name, final]
    path, findings = _look(places, released)
    if path is not None:
        return path
    if is_offline(offline):
        raise CheckpointError(
            f"{released.name} is not here and the network is switched off (offline=True or one of "
            f"{', '.join(OFFLINE_SWITCHES)}): {'; '.join(findings)}. Download {released.url} elsewhere and "
            f"put it at {final}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_process(folder / (released.name + ".lock")):
            path, _ = _look([final], released)  # another process may have brought it meanwhile
            if path is not None:
                return path
            part = folder / (released.name + ".part")
            logger.info("downloading %s to %s. %s", released.url, final, released.licence)
            _fetch_verified(released, part, show_progress=show_progress)
            part.replace(final)
            _remember(final, released)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or folder}: cannot be written ({error.strerror}) while downloading "
            f"{released.name}; expected a folder that can be written to, with space: cache_dir, "
            "TORCH_HOME or "
            "HF_HOME choose it"
        ) from error
    return final


def download_url(
    url: str, *, cache_dir: str | os.PathLike[str] | None = None, offline: bool | None = None
) -> Path:
    """A local copy of any file of the web, kept by its whole address while the server says it is the same.

    Each call asks, and reads no more than the answer's head where nothing has changed; offline what is kept
    is taken as it is.

    Raises:
        CheckpointError: offline without a copy, a server that fails, or a disk that does.
    """
    try:
        address = hashlib.sha256(url.encode()).hexdigest()[:ADDRESS_DIGITS]
        name = PurePosixPath(urlsplit(url).path).name
    except ValueError as error:
        raise CheckpointError(f"{url!a}: no address of the web ({error})") from error
    folder = cache_folder(cache_dir) / "by-address" / address
    final = folder / (name if name.strip(".") else "file")
    if is_offline(offline):
        if final.is_file():
            return final
        raise CheckpointError(f"{url}: the network is switched off; expected a local file")
    try:
        _bring(url, final)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(f"{url}: cannot be had ({getattr(error, 'reason', None) or error})") from error
    return final


def _bring(url: str, final: Path) -> None:
    """Download a file, unless the one that is there is the same."""
    stamp = final.with_name(final.name + ".stamp")
    with open_url(url) as response:
        seen = validators(response)
        if seen and final.is_file() and _read_json(stamp) == seen:
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        part = final.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                copy_body(response, file)
                os.fsync(file.fileno())
            stamp.unlink(missing_ok=True)  # it must not speak of another file, were we to die
            part.replace(final)
            stamp.write_text(json.dumps(seen))
        finally:
            part.unlink(missing_ok=True)


def _read_json(path: Path) -> object:
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _stamp(path: Path, released: ReleasedFile) -> dict[str, str | int]:
    status = path.stat()
    return {"sha256": released.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _remember(path: Path, released: ReleasedFile) -> None:
    with suppress(OSError):  # a folder that cannot be written to: the next call verifies again
        _stamp_path(path).write_text(json.dumps(_stamp(path, released)))


def _look(places: list[Path], released: ReleasedFile) -> tuple[Path | None, list[str]]:
    """The first place that holds the file, and what was found instead where it does not."""
    findings = []
    for place in places:
        try:
            place.stat()
        except OSError as error:
            findings.append(f"{place} ({error.strerror})")
            continue
        try:
            verify_once(place, released)
        except CheckpointError as error:
            if place.parent.name == ORIGINAL_FOLDER and _holds_weights(place):
                logger.warning("used, though it is not the released file: %s", error)
                return place, findings
            logger.warning("not used: %s", error)
            findings.append(str(error))
        else:
            return place, findings
    return None, findings


def _holds_weights(path: Path) -> bool:
    try:
        return path.is_file() and bool(read_weights(path, mmap=True))
    except CheckpointError:
        return False


@contextmanager
def _only_process(path: Path) -> Iterator[None]:
    """Hold a lock file, which the system lets go of if the process is killed."""
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
    """Complete the part file and verify it; one that was resumed and proves wrong is fetched afresh."""
    resumed = part.exists()
    with _progress(released, shown=show_progress) as report:
        fetch(released.url, part, size=released.size, report=report)
    try:
        verify(part, released)
    except CheckpointError as error:
        part.unlink()
        if not resumed:
            raise CheckpointError(f"{released.url} sent something else: {error}") from error
        logger.warning("starting afresh: %s", error)
        _fetch_verified(released, part, show_progress=show_progress)
        return
    with part.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _progress(released: ReleasedFile, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal below the licence; yields how to tell it the bytes that are here."""
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
