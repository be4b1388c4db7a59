"""Checkpoints of a run: folders that are either complete or absent, even if the machine stops while writing.

A checkpoint is written under a hidden name, its files and folder are flushed to disk, and then it is renamed
to `step-000123`. Its `files.json` lists the sizes of the other files, so that an incomplete copy is detected
too. The folder must be on a file system that all ranks share.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from imagebind.errors import CheckpointError
from imagebind.io.atomic import flush_to_disk
from imagebind.training.random_state import RandomState, seed_everything
from imagebind.training.ranks import rank, wait_for_all_ranks

logger = logging.getLogger(__name__)

FILES_NAME = "files.json"
TRAINER_NAME = "trainer.pt"  # optimiser, temperatures, step, pair counts, and the recipe's identity
MODEL_NAME = "model"
ADAPTER_NAME = "adapter"
WEIGHTS_ENTRIES = {"weights", "located"}  # of `Recipe.identity`: the weights as given, and by absolute path
RANDOM_NAME = "random-{rank}.pt"
CHECKPOINT_PATTERN = re.compile(r"step-(\d{6,})")


def save_checkpoint(
    folder: Path,
    step: int,
    *,
    trainer: dict[str, Any],
    write_model: Callable[[Path], None],
    keep: int,
) -> Path:
    """Write a checkpoint after `step` steps, and remove earlier ones except the last `keep` complete ones.

    Call it on every rank. `write_model` is called on rank 0 with the unfinished folder.

    Raises:
        CheckpointError: the checkpoint cannot be written, for example because the disk is full.
    """
    target = folder / f"step-{step:06d}"
    unfinished = folder / f".{target.name}.tmp"
    with _checkpoint_errors(target):
        if rank() == 0:
            shutil.rmtree(unfinished, ignore_errors=True)  # left by a run that was killed while writing
            unfinished.mkdir(parents=True)
        wait_for_all_ranks()
        torch.save(RandomState.capture().state_dict(), unfinished / RANDOM_NAME.format(rank=rank()))
        if rank() == 0:
            write_model(unfinished)
            torch.save({**trainer, "step": step}, unfinished / TRAINER_NAME)
        wait_for_all_ranks()
        if rank() == 0:
            _finish(unfinished, target)
            _prune(folder, step, keep)
        wait_for_all_ranks()
    return target


@contextmanager
def _checkpoint_errors(target: Path) -> Iterator[None]:
    """Raise write errors as `CheckpointError`."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's writer: RuntimeError on a full disk
        raise CheckpointError(f"{target}: cannot be written ({error})") from error


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, newest first, including incomplete ones."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if CHECKPOINT_PATTERN.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the step in a checkpoint's name."""
    match = CHECKPOINT_PATTERN.fullmatch(checkpoint.name)
    if match is None:
        raise ValueError(f"checkpoint: expected a name such as step-000123, got {checkpoint.name}")
    return int(match[1])


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, or None; incomplete ones are logged and skipped."""
    for path in checkpoints(folder):
        if is_complete(path):
            return path
        logger.warning("%s is incomplete; skipped", path)
    return None


def is_complete(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint exist with the sizes in `files.json`."""
    try:
        sizes = json.loads((checkpoint / FILES_NAME).read_bytes())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def read_trainer(checkpoint: Path, identity: dict[str, str]) -> dict[str, Any]:
    """Return the saved optimiser, temperatures, step, pair counts and recipe identity.

    Raises:
        CheckpointError: it cannot be read, or belongs to another recipe; names the differences.
    """
    trainer = read_saved(checkpoint / TRAINER_NAME)
    saved = trainer["recipe"]
    names = {name for name in {*saved, *identity} if saved.get(name) != identity.get(name)}
    if not names >= WEIGHTS_ENTRIES:  # one equal entry suffices: the project's folder may have moved
        names -= WEIGHTS_ENTRIES
    differing = [f"{name}: expected {saved.get(name)}, got {identity.get(name)}" for name in sorted(names)]
    if differing:
        raise CheckpointError(
            f"{checkpoint} belongs to another recipe: {'; '.join(differing)}. Give this run another output"
        )
    return trainer


def restore_random(checkpoint: Path, *, seed: int, step: int) -> None:
    """Restore the RNG state of this rank; a rank that the checkpoint lacks is seeded again.

    Raises:
        CheckpointError: the state cannot be read.
    """
    path = checkpoint / RANDOM_NAME.format(rank=rank())
    if path.is_file():
        RandomState.from_state_dict(read_saved(path)).restore()
    else:
        logger.warning("%s has no RNG state of rank %d: the rank is seeded again", checkpoint, rank())
        seed_everything(seed, rank(), step)


def read_saved(path: Path) -> Any:
    """Return the object that `torch.save` wrote, on the CPU.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise errors of torch, pickle, zipfile and Python
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _finish(unfinished: Path, target: Path) -> None:
    """Write `files.json`, flush everything to disk, then rename the folder to `target`."""
    files = sorted(path for path in unfinished.rglob("*") if path.is_file())
    sizes = {path.relative_to(unfinished).as_posix(): path.stat().st_size for path in files}
    (unfinished / FILES_NAME).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    folders = [path for path in unfinished.rglob("*") if path.is_dir()]
    for path in (*files, unfinished / FILES_NAME, *folders, unfinished):
        flush_to_disk(path)
    if target.exists():  # an incomplete checkpoint
        _remove(target)
    unfinished.rename(target)
    flush_to_disk(target.parent)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Remove checkpoints older than this step, except for the newest complete ones."""
    found = checkpoints(folder)
    kept = [path for path in found if is_complete(path)][:keep]
    for path in found:
        if path not in kept and step_of(path) < step:
            _remove(path)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint; rename it first, so that a partly removed one is not found as a checkpoint."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.old")
    shutil.rmtree(hidden, ignore_errors=True)
    checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
