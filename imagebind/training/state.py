"""Checkpoints of a run: folders that are whole or not there, whenever the machine stops.

A checkpoint is written under a hidden name, its files and the folder are flushed to the disk, and then it
gets its name, `step-000123`. `files.json` in it lists the sizes of the others, so that a copy that was cut
short is told apart too. Folders want to be on a file system that all ranks share.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from imagebind.errors import CheckpointError
from imagebind.training.random_state import RandomState, seed_everything

logger = logging.getLogger(__name__)

FILES_NAME = "files.json"
TRAINER_NAME = "trainer.pt"  # optimiser, temperatures, step, and what the recipe was
MODEL_NAME = "model"
ADAPTER_NAME = "adapter"
WEIGHTS = {"weights", "located"}  # of a recipe: what it starts from, as it was given and where that is
RANDOM_NAME = "random-{rank}.pt"
NAME = re.compile(r"step-(\d{6,})")

Barrier = Callable[[], None]


def save_checkpoint(
    folder: Path,
    step: int,
    *,
    trainer: dict[str, Any],
    write_model: Callable[[Path], None],
    rank: int,
    barrier: Barrier,
    keep: int,
) -> Path:
    """Write a checkpoint after `step` steps, and remove all but the last `keep` whole ones.

    Every rank calls it. `write_model` is called on rank 0 with the unfinished folder.

    Raises:
        CheckpointError: the disk is full, or may not be written to.
    """
    target = folder / f"step-{step:06d}"
    unfinished = folder / f".{target.name}.tmp"
    with _told_as_errors_of(target):
        if rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed while it wrote
            unfinished.mkdir(parents=True)
    barrier()
    with _told_as_errors_of(target):
        torch.save(RandomState.capture().state_dict(), unfinished / RANDOM_NAME.format(rank=rank))
        if rank == 0:
            write_model(unfinished)
            torch.save({**trainer, "step": step}, unfinished / TRAINER_NAME)
    barrier()
    with _told_as_errors_of(target):
        if rank == 0:
            _finish(unfinished, target)
            _prune(folder, step, keep)
    barrier()
    return target


@contextmanager
def _told_as_errors_of(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's writer: RuntimeError on a full disk
        raise CheckpointError(f"{target}: cannot be written ({error})") from error


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, whole or not."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The steps that a checkpoint's name says."""
    match = NAME.fullmatch(checkpoint.name)
    if match is None:
        raise ValueError(f"checkpoint: expected a name such as step-000123, got {checkpoint.name}")
    return int(match[1])


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None; those that are not whole are logged and passed over."""
    for path in checkpoints(folder):
        if is_whole(path):
            return path
        logger.warning("%s is not whole, and passed over", path)
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether all of its files are there, with the sizes that they had."""
    try:
        sizes = json.loads((checkpoint / FILES_NAME).read_bytes())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def read_trainer(checkpoint: Path, identity: dict[str, str]) -> dict[str, Any]:
    """What was saved of the optimiser, the temperatures and the step.

    Raises:
        CheckpointError: it cannot be read, or is of a run by another recipe; names what differs.
    """
    trainer = _read(checkpoint / TRAINER_NAME)
    saved = trainer["recipe"]
    names = {name for name in {*saved, *identity} if saved.get(name) != identity.get(name)}
    if not names >= WEIGHTS:  # as they were given, or by where they are: a project may have moved
        names -= WEIGHTS
    differing = [f"{name} was {saved.get(name)}, is {identity.get(name)}" for name in sorted(names)]
    if differing:
        raise CheckpointError(
            f"{checkpoint} is of another recipe: {'; '.join(differing)}. Give this one an output of its own"
        )
    return trainer


def restore_random(checkpoint: Path, *, rank: int, seed: int, step: int) -> None:
    """Set the generators of a rank as they were; a rank that there was not starts its own."""
    path = checkpoint / RANDOM_NAME.format(rank=rank)
    if path.is_file():
        RandomState.from_state_dict(_read(path)).restore()
    else:
        logger.warning("%s has no random state of rank %d: it starts a new one", checkpoint, rank)
        seed_everything(seed, rank, step)


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes bring out torch's, pickle's, zip's and Python's own errors
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _finish(unfinished: Path, target: Path) -> None:
    """Flush what was written, then give it its name."""
    files = sorted(path for path in unfinished.rglob("*") if path.is_file())
    sizes = {path.relative_to(unfinished).as_posix(): path.stat().st_size for path in files}
    (unfinished / FILES_NAME).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    folders = [path for path in unfinished.rglob("*") if path.is_dir()]
    for path in (*files, unfinished / FILES_NAME, *folders, unfinished):
        _flush(path)
    if target.exists():  # one that is not whole
        _remove(target)
    unfinished.rename(target)
    _flush(target.parent)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Remove what is older than this step, but for the newest whole ones."""
    found = checkpoints(folder)
    kept = [path for path in found if is_whole(path)][:keep]
    for path in found:
        if path not in kept and step_of(path) < step:
            _remove(path)


def _remove(checkpoint: Path) -> None:
    """Take away its name first: what is half removed must not look like a checkpoint."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.old")
    shutil.rmtree(hidden, ignore_errors=True)
    checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
