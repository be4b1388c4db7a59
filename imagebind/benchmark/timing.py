"""Seconds by turns, and peaks of memory in processes of their own."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imagebind.errors import ImageBindError

PROCESS_STATUS = Path("/proc/self/status")  # Linux
RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; getrusage's unit depends on the system


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def by_turns(actions: list[Callable[[], object]], *, repeats: int) -> list[list[float]]:
    """Seconds of each action, one list an action, taken by turns after one turn that doesn't count.

    What disturbs the machine disturbs all of them, so a ratio within one turn means more than one of two
    blocks of repeats.
    """
    turns = [[seconds(action) for action in actions] for _ in range(repeats + 1)]
    return [list(times) for times in zip(*turns[1:], strict=True)]


def ratios(first: list[float], second: list[float]) -> list[float]:
    """first / second, turn by turn."""
    return [a / b for a, b in zip(first, second, strict=True)]


def peak_bytes() -> int:
    """The most memory that this process has had resident, pages mapped from files included.

    On Linux not what getrusage says: that starts from the peak of the process that started this one.
    """
    if PROCESS_STATUS.is_file():
        for line in PROCESS_STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RUSAGE_UNIT


def in_fresh_process(
    job: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a job of `imagebind.benchmark.jobs` alone; what it returns, with `peak` bytes.

    `environment` has variables besides this process's own.

    Raises:
        ImageBindError: it failed; with the last line that it wrote.
    """
    command = [sys.executable, "-m", "imagebind.benchmark.jobs", job, *map(str, arguments)]
    variables = os.environ | (environment or {})
    finished = subprocess.run(command, capture_output=True, text=True, env=variables)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ImageBindError(f"measuring {job} failed with exit code {finished.returncode}: {last}")
    return json.loads(finished.stdout.splitlines()[-1])
