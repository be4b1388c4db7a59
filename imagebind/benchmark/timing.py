"""Alternating time measurements, and peak memory in separate processes."""

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
    """Return the seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def by_turns(actions: list[Callable[[], object]], *, repeats: int) -> list[list[float]]:
    """Return the seconds of each action, one list per action, measured in turns after a warm-up turn.

    Disturbances of the machine affect all actions of a turn, so ratios within a turn are more reliable than
    ratios between separate blocks of repeats.
    """
    turns = [[seconds(action) for action in actions] for _ in range(repeats + 1)]
    return [list(times) for times in zip(*turns[1:], strict=True)]


def ratios(first: list[float], second: list[float]) -> list[float]:
    """Return first / second for each turn."""
    return [a / b for a, b in zip(first, second, strict=True)]


def peak_bytes() -> int:
    """Return the peak resident memory of this process, including pages mapped from files.

    On Linux getrusage is not used, because its peak starts from that of the parent process.
    """
    if PROCESS_STATUS.is_file():
        for line in PROCESS_STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RUSAGE_UNIT


def in_fresh_process(
    job: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a job of `imagebind.benchmark.jobs` in a new process; return its result with `peak` in bytes.

    `environment` is added to the environment variables of this process.

    Raises:
        ImageBindError: the job failed; contains the last line of its output.
    """
    command = [sys.executable, "-m", "imagebind.benchmark.jobs", job, *map(str, arguments)]
    variables = os.environ | (environment or {})
    finished = subprocess.run(command, capture_output=True, text=True, env=variables)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no output"])[-1]
        raise ImageBindError(f"measuring {job} failed with exit code {finished.returncode}: {last}")
    return json.loads(finished.stdout.splitlines()[-1])
