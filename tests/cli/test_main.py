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
