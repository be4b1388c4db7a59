"""Logs a run's steps and evaluations as lines of `log.jsonl`, and their figures to trackers such as wandb.

A resumed run first removes the lines that were logged after its checkpoint, so no step appears twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagebind.errors import import_extra
from imagebind.io.atomic import replacing
from imagebind.training.ranks import rank
from imagebind.training.recipe import RecipeError

LOG_NAME = "log.jsonl"
TRACKER_PROJECT = "imagebind"


# Two functions: one logs the figures of a step, the other closes the tracker.
Tracker = tuple[Callable[[Mapping[str, float], int], None], Callable[[], None]]


def _tensorboard(folder: Path, start_step: int) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    # Purge at step 0 too: a run that stopped before its first checkpoint may have left events.
    writer = SummaryWriter(str(folder / TRACKER_PROJECT), purge_step=start_step + 1)

    def log(figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log, writer.close


def _wandb(folder: Path, start_step: int) -> Tracker:
    import wandb

    run = wandb.init(project=TRACKER_PROJECT, dir=str(folder))
    return lambda figures, step: run.log(dict(figures), step=step), run.finish


TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb}  # by the name of the package to import


class Journal:
    """Writes the log on rank 0; calls on other ranks write nothing."""

    def __init__(self, folder: Path, trackers: Sequence[str], *, start_step: int) -> None:
        self._file = None
        self._trackers: list[Tracker] = []
        if rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            drop_lines_after(folder / LOG_NAME, start_step)
            self._file = (folder / LOG_NAME).open("a", encoding="utf-8")
            self._trackers = [TRACKERS[name](folder, start_step) for name in trackers]

    def step(self, step: int, record: Mapping[str, Any]) -> None:
        """Log the figures of one step; `record["pair"]` is the name of its `PairRecipe`."""
        pair = record["pair"]
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        loss = {f"loss/{pair}": numbers.pop("loss")}
        self._write(step, record, loss | {f"train/{name}": value for name, value in numbers.items()})

    def evaluation(self, step: int, figures: Mapping[str, float]) -> None:
        """Log the figures of an evaluation."""
        record = {"evaluation": dict(figures)}
        self._write(step, record, {f"evaluation/{name}": value for name, value in figures.items()})

    def close(self) -> None:
        """Close the file and finish the trackers."""
        if self._file is not None:
            self._file.close()
        for _, close in self._trackers:
            close()

    def _write(self, step: int, record: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **record}) + "\n")
            self._file.flush()
        for log, _ in self._trackers:
            log(figures, step)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run's `log.jsonl`, without lines that a killed run left incomplete."""
    path = folder / LOG_NAME
    return [] if not path.is_file() else [record for _, record in _lines(path)]


def last_evaluation(folder: Path) -> dict[str, float]:
    """Return the figures of a run's last evaluation, or {} if there was none."""
    evaluations = [record["evaluation"] for record in read_log(folder) if "evaluation" in record]
    return evaluations[-1] if evaluations else {}


def drop_lines_after(path: Path, step: int) -> None:
    """Remove the lines of later steps, and incomplete lines, from a log file."""
    if not path.is_file():
        return
    kept = "".join(line for line, record in _lines(path) if record["step"] <= step)
    with replacing(path) as temporary:
        temporary.write_text(kept, encoding="utf-8")


def check_trackers(names: Sequence[str]) -> None:
    """Check that the names are those of trackers, and that their packages are installed.

    Raises:
        RecipeError: a name is unknown.
        MissingExtraError: the package of a tracker is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise RecipeError(f"trackers: expected names among {', '.join(TRACKERS)}, got {name!r}")
        import_extra(name, extra="train", purpose=f"the tracker {name!r}")


def _lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            lines.append((line, json.loads(line)))
        except ValueError:  # an incomplete line of a killed run
            continue
    return lines
