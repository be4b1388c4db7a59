"""Thousands of damaged files of every modality are read or raise errors, quickly and with little memory."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutated import HEADER_FAULTS, make_files
from tests.reference import DATA

SEEDED_MUTATIONS = 1500  # in addition to the header faults of each file
MIN_FILES = 40
SECONDS_ALLOWED = 10.0
MEGABYTES_ALLOWED = 1024
SHARD_SECONDS = 600
ROOT = DATA.parent.parent


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of reading one mutation of a file, made by `tests.mutated.mutation`."""

    label: str  # the file and the mutation's number
    result: str  # "read", "refused" or a failure
    seconds: float = 0.0
    added_megabytes: float = 0.0  # peak memory so far in megabytes, above that after the imports


def read_shard(folder: Path, names: list[str], count: int) -> list[Outcome]:
    """Read mutations 0 to count - 1 of a folder in a child process, and after a crash the rest in another."""
    outcomes: list[Outcome] = []

    def add(result: str, **measured: float) -> None:
        number = len(outcomes)
        label = f"{folder.name}/{names[number % len(names)]}, number {number // len(names)}"
        outcomes.append(Outcome(label=label, result=result, **measured))

    while len(outcomes) < count:
        command = [sys.executable, "-m", "tests.mutated", str(folder), str(len(outcomes)), str(count)]
        environment = {**os.environ, "IMAGEBIND_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        child = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SHARD_SECONDS,
        )
        lines = child.stdout.splitlines()
        assert len(lines) > 1, f"{folder.name}: the healthy files cannot be read: {child.stderr[-3000:]}"
        imported = json.loads(lines[0])
        for line in lines[1:]:
            result, seconds, peak = json.loads(line)
            add(result, seconds=seconds, added_megabytes=peak - imported)
        if len(outcomes) < count:
            add(f"the process ended with {child.returncode}: {child.stderr[-3000:]}")
    return outcomes


@pytest.mark.huge  # it takes minutes
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc of Linux")
def test_damaged_files_are_read_or_raise_errors_quickly_and_with_little_memory(tmp_path):
    names = make_files(tmp_path)
    files = sum(map(len, names.values()))
    assert files >= MIN_FILES
    each = HEADER_FAULTS - (-SEEDED_MUTATIONS // files)
    outcomes = []
    for kind, of_kind in names.items():
        outcomes += read_shard(tmp_path / kind.value, of_kind, each * len(of_kind))
    counts = {word: sum(outcome.result == word for outcome in outcomes) for word in ("read", "refused")}
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.added_megabytes)
    print(
        f"\n{len(outcomes)} mutations of {files} files: {counts['refused']} refused, {counts['read']} read; "
        f"slowest {slowest.seconds:.1f} s ({slowest.label}); "
        f"peak {largest.added_megabytes:.0f} MB above that after the imports ({largest.label})"
    )
    failed = [f"{outcome.label}: {outcome.result}" for outcome in outcomes if outcome.result not in counts]
    assert not failed, f"{len(failed)} failures\n" + "\n\n".join(failed)
    assert slowest.seconds < SECONDS_ALLOWED
    assert largest.added_megabytes < MEGABYTES_ALLOWED
