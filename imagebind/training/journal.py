"""The curve of a run: a line a step in `log.jsonl`, and the same figures to accelerate's trackers.

A run that goes on from a checkpoint cuts off what was logged after it, so that the file reads as if nothing
had happened.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagebind.errors import MissingExtraError
from imagebind.training.recipe import RecipeError

if TYPE_CHECKING:
    from accelerate import Accelerator

LOG_NAME = "log.jsonl"
PROJECT = "imagebind"


class Journal:
    """Writes on the main process; the other ranks' calls do nothing."""

    def __init__(self, folder: Path, accelerator: "Accelerator", *, start_step: int) -> None:
        self._accelerator = accelerator
        self._file = None
        if accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            cut_after(folder / LOG_NAME, start_step)
            self._file = (folder / LOG_NAME).open("a", encoding="utf-8")
        # From the start too: a run that was stopped before its first checkpoint has left events behind.
        accelerator.init_trackers(PROJECT, init_kwargs={"tensorboard": {"purge_step": start_step + 1}})

    def step(self, step: int, record: Mapping[str, Any]) -> None:
        """The figures of one step, its pair among them."""
        self._write({"step": step, **record})
        pair = record["pair"]
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        loss = {f"loss/{pair}": numbers.pop("loss")}
        self._accelerator.log(loss | {f"train/{name}": value for name, value in numbers.items()}, step=step)

    def evaluation(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of an evaluation."""
        self._write({"step": step, "evaluation": dict(figures)})
        self._accelerator.log({f"evaluation/{name}": value for name, value in figures.items()}, step=step)

    def close(self) -> None:
        """Finish the file and the trackers."""
        if self._file is not None:
            self._file.close()
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's `log.jsonl`, one that a kill cut short left out."""
    path = folder / LOG_NAME
    return [] if not path.is_file() else [record for _, record in _lines(path)]


def last_evaluation(folder: Path) -> dict[str, float]:
    """The figures of a run's last evaluation; none if there was none."""
    found = [record["evaluation"] for record in read_log(folder) if "evaluation" in record]
    return found[-1] if found else {}


def cut_after(path: Path, step: int) -> None:
    """Leave out the lines of later steps, and one that was cut short."""
    if not path.is_file():
        return
    kept = "".join(line for line, record in _lines(path) if record["step"] <= step)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(kept, encoding="utf-8")
    temporary.replace(path)


def check_trackers(names: Sequence[str]) -> None:
    """See that trackers exist and are installed, before anything starts.

    Raises:
        RecipeError: a name that accelerate does not know.
        MissingExtraError: one that is not installed.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = [str(kind) for kind in LOGGER_TYPE_TO_CLASS]
    available = [str(kind) for kind in get_available_trackers()]
    for name in names:
        if name not in known:
            raise RecipeError(f"trackers: expected some of {', '.join(sorted(known))}; got {name!r}")
        if name not in available:
            raise MissingExtraError(name, extra="train", purpose=f"the tracker {name!r}")


def _lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            lines.append((line, json.loads(line)))
        except ValueError:  # cut short by a kill
            continue
    return lines
