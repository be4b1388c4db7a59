"""Rows and their targets, and reports with a description of the machine."""

import json

import numpy as np
import pytest
import torch

from imagebind.benchmark.report import Row, this_machine, to_json


@pytest.mark.parametrize(
    ("value", "target", "at_most", "met"),
    [
        (0.74, 0.75, False, False),
        (0.75, 0.75, False, True),
        (2.1, 2.0, True, False),
        (2.0, 2.0, True, True),
        (5.0, None, False, None),
        (float("nan"), 0.75, False, False),
        (float("nan"), 0.75, True, False),
    ],
)
def test_a_target_is_a_minimum_or_with_at_most_a_maximum(value, target, at_most, met):
    row = Row(section="load", name="x", value=value, unit="s", target=target, at_most=at_most)
    assert row.met is met


def test_a_machine_has_its_cpu_cores_memory_and_torch_version():
    machine = this_machine()
    assert machine.cpu and machine.cores >= 1 and machine.memory_gb > 0.1
    assert machine.torch == torch.__version__ and machine.threads == torch.get_num_threads()
    assert machine.cpu in str(machine) and f"{machine.cores} cores" in str(machine)


def test_a_report_can_be_written_as_json():
    row = Row(section="load", name="x", value=1.5, unit="s", target=2.0, at_most=True, detail="1 to 2 s")
    report = json.loads(json.dumps(to_json(this_machine(), [row], ["new weights"])))
    assert report["rows"] == [
        {
            "section": "load",
            "what": "x",
            "value": 1.5,
            "unit": "s",
            "target": 2.0,
            "at_most": True,
            "detail": "1 to 2 s",
            "met": True,
        }
    ]
    assert report["machine"]["cores"] == this_machine().cores and report["notes"] == ["new weights"]


def test_a_value_of_numpy_can_be_written_as_json():
    row = Row(section="search", name="x", value=np.median([1.0, 2.0]), unit="s", target=2.0, at_most=True)
    assert json.loads(json.dumps(to_json(this_machine(), [row], [])))["rows"][0]["met"] is True
