"""The command as a whole: help with examples, exit codes."""

import subprocess
import sys
from importlib.metadata import version

import pytest


@pytest.mark.parametrize(
    "command", ["embed", "compare", "info", "benchmark", "weights download", "weights convert"]
)
def test_help_has_an_example(imagebind, command):
    run = imagebind(*command.split(), "--help")
    assert run.code == 0 and f"imagebind {command}" in run.out.replace("Usage: imagebind", "")


def test_the_version_is_printed(imagebind):
    assert imagebind("--version").out.split() == ["imagebind", version("imagebind")]


def test_an_unknown_command_is_a_usage_error(imagebind):
    run = imagebind("smell")
    assert run.code == 2 and "smell" in run.err


def test_help_does_not_import_torch():
    code = "import sys, imagebind.cli.main; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_an_error_of_the_system_has_its_file_and_reason_without_its_number(imagebind, tmp_path):
    plot = tmp_path / "none" / "matrix.png"
    run = imagebind("compare", "--text", "a star", "--text", "a cone", "--plot", plot, "-w", "tiny")
    assert run.code == 1 and run.err.splitlines() == [f"error: {plot}: No such file or directory"]


def test_an_invalid_value_of_an_option_is_printed(imagebind):
    for option, value in (("--top", "0"), ("--top", "many"), ("--per-file", "-1")):
        run = imagebind("search", "db", "--text", "a", option, value)
        assert run.code == 2 and value in run.err.split("Invalid value")[1]
