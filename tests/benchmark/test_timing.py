"""Actions are measured in turns, and a new process has its own peak memory."""

import pytest

from imagebind.benchmark.timing import by_turns, in_fresh_process, peak_bytes, ratios
from imagebind.errors import ImageBindError


def test_actions_are_measured_in_turns_after_a_warm_up_turn():
    order = []
    times = by_turns([lambda: order.append("a"), lambda: order.append("b")], repeats=2)
    assert order == ["a", "b"] * 3
    assert [len(action) for action in times] == [2, 2] and all(t >= 0 for action in times for t in action)


def test_ratios_are_taken_within_a_turn():
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_the_peak_of_a_fresh_process_does_not_start_from_its_parents(tmp_path):
    path = tmp_path / "zeros"
    path.write_bytes(bytes(1000))
    ballast = bytearray(b"x") * 200_000_000
    assert peak_bytes() > len(ballast)
    assert in_fresh_process("read_file", path)["peak"] < len(ballast)  # reading a file needs no torch


def test_a_failed_job_raises_an_error_with_its_reason(tmp_path):
    with pytest.raises(ImageBindError, match=r"read_file failed.*No such file.*none\.pth"):
        in_fresh_process("read_file", tmp_path / "none.pth")
