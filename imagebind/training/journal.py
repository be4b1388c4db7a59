"""Logs a run: one line per step in `log.jsonl`, and the same figures to accelerate's trackers.

A resumed run first removes the lines that were logged after its checkpoint, so no step appears twice.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagebind.errors import MissingExtraError
from imagebind.io.atomic import replacing
from imagebind.training.recipe import RecipeError

if TYPE_CHECKING:
    from accelerate import Accelerator

LOG_NAME = "log.jsonl"
TRACKER_PROJECT = "imagebind"


class Journal:
    """Writes the log on the main process; calls on other ranks write nothing."""

    def __init__(self, folder: Path, accelerator: "Accelerator", *, start_step: int) -> None:
        self._accelerator = accelerator
        self._file = None
        if accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            drop_lines_after(folder / LOG_NAME, start_step)
            self._file = (folder / LOG_NAME).open("a", encoding="utf-8")
        # Purge at step 0 too: a run that stopped before its first checkpoint has left events behind.
        accelerator.init_trackers(
            TRACKER_PROJECT, init_kwargs={"tensorboard": {"purge_step": start_step + 1}}
        )

    def step(self, step: int, record: Mapping[str, Any]) -> None:
        """Log the figures of one step; `record["pair"]` is the name of its `PairRecipe`."""
        self._write({"step": step, **record})
        pair = record["pair"]
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        loss = {f"loss/{pair}": numbers.pop("loss")}
        self._accelerator.log(loss | {f"train/{name}": value for name, value in numbers.items()}, step=step)

    def evaluation(self, step: int, figures: Mapping[str, float]) -> None:
        """Log the figures of an evaluation."""
        self._write({"step": step, "evaluation": dict(figures)})
        self._accelerator.log({f"evaluation/{name}": value for name, value in figures.items()}, step=step)

    def close(self) -> None:
        """Close the file and finish the trackers."""
        if self._file is not None:
            self._file.close()
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run's `log.jsonl`, without a line that a killed run left incomplete."""
    path = folder / LOG_NAME
    return [] if not path.is_file() else [record for _, record in _lines(path)]


def last_evaluation(folder: Path) -> dict[str, float]:
    """Return the figures of a run's last evaluation, or {} if there was none."""
    found = [record["evaluation"] for record in read_log(folder) if "evaluation" in record]
    return found[-1] if found else {}


def drop_lines_after(path: Path, step: int) -> None:
    """Remove the lines of later steps, and an incomplete line, from a log file."""
    if not path.is_file():
        return
    kept = "".join(line for line, record in _lines(path) if record["step"] <= step)
    with replacing(path) as temporary:
        temporary.write_text(kept, encoding="utf-8")


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers exist and are installed.

    Raises:
        RecipeError: accelerate does not know a name.
        MissingExtraError: a tracker is not installed.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = [str(tracker) for tracker in LOGGER_TYPE_TO_CLASS]
    available = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in known:
            raise RecipeError(f"trackers: expected names among {', '.join(sorted(known))}; got {name!r}")
        if name not in available:
            raise MissingExtraError(name, extra="train", purpose=f"the tracker {name!r}")


def _lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            lines.append((line, json.loads(line)))
        except ValueError:  # an incomplete line of a killed run
            continue
    return lines
