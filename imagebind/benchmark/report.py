"""Benchmark results: rows with targets, and the machine on which they were measured."""

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

GIGABYTE, MEGABYTE = 1e9, 1e6
CPU_INFO = Path("/proc/cpuinfo")  # Linux


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measured value. A target is a lower bound of `value`, or with `at_most` an upper bound."""

    section: str
    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    detail: str = ""  # the measurements behind the value, or the reason why it is missing

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        # bool(), since JSON does not support NumPy's bool.
        return bool(self.value <= self.target if self.at_most else self.value >= self.target)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine on which values were measured."""

    cpu: str
    cores: int
    memory_gb: float
    threads: int  # of torch
    torch: str
    python: str
    system: str
    load: float  # running and waiting processes at the start, mean over a minute

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, torch {self.torch} with "
            f"{self.threads} threads, Python {self.python}, {self.system}, load {self.load:.1f} at the start"
        )


def this_machine() -> Machine:
    """Return the current machine and its load."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
        system=platform.system(),
        load=os.getloadavg()[0],
    )


def to_json(machine: Machine, rows: Iterable[Row], notes: Iterable[str]) -> dict[str, Any]:
    """Return a report as JSON-compatible data."""
    return {
        "machine": asdict(machine),
        "notes": list(notes),
        "rows": [_as_json(row) for row in rows],
    }


def _as_json(row: Row) -> dict[str, Any]:
    """Return the fields of a row; the key of the name is "what", as in earlier reports."""
    named = {"what" if key == "name" else key: value for key, value in asdict(row).items()}
    return named | {"met": row.met}


def _cpu_model() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
