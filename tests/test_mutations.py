"""Thousands of damaged files of every modality: each is read or refused, soon and with little memory."""

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

MUTATIONS = 3000  # by a seed, beside those of each header
FILES = 40  # at least
SECONDS_ALLOWED = 10.0
MEGABYTES_ALLOWED = 1024
SHARD_SECONDS = 600
ROOT = DATA.parent.parent


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of the mutation that `tests.mutated.mutation` makes of a file with a number."""

    label: str  # the file and the mutation's number
    seen: str
    seconds: float = 0.0
    grown: float = 0.0  # peak memory so far in megabytes, over that of the process after its imports


def read_shard(folder: Path, names: list[str], count: int) -> list[Outcome]:
    """Read mutations 0 to count - 1 of a folder in a child process; after a crash, the rest in another."""
    outcomes: list[Outcome] = []

    def add(seen: str, **measured: float) -> None:
        number = len(outcomes)
        label = f"{folder.name}/{names[number % len(names)]}, number {number // len(names)}"
        outcomes.append(Outcome(label=label, seen=seen, **measured))

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
            seen, seconds, peak = json.loads(line)
            add(seen, seconds=seconds, grown=peak - imported)
        if len(outcomes) < count:
            add(f"the process ended with {child.returncode}: {child.stderr[-3000:]}")
    return outcomes


@pytest.mark.huge  # for its minutes alone
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_damaged_files_are_read_or_refused_soon_and_with_little_memory(tmp_path):
    names = make_files(tmp_path)
    files = sum(map(len, names.values()))
    assert files >= FILES
    each = HEADER_FAULTS - (-MUTATIONS // files)
    outcomes = []
    for kind, of_kind in names.items():
        outcomes += read_shard(tmp_path / kind.value, of_kind, each * len(of_kind))
    counts = {word: sum(outcome.seen == word for outcome in outcomes) for word in ("read", "refused")}
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.grown)
    print(
        f"\n{len(outcomes)} mutations of {files} files: {counts['refused']} refused, {counts['read']} read; "
        f"slowest {slowest.seconds:.1f} s ({slowest.label}); "
        f"peak {largest.grown:.0f} MB above the imports' ({largest.label})"
    )
    failed = [f"{outcome.label}: {outcome.seen}" for outcome in outcomes if outcome.seen not in counts]
    assert not failed, f"{len(failed)} failures\n" + "\n\n".join(failed)
    assert slowest.seconds < SECONDS_ALLOWED
    assert largest.grown < MEGABYTES_ALLOWED
