"""The command, ready to run."""

import pytest

from tests.cli.runner import Runner


@pytest.fixture
def imagebind(monkeypatch, capsys) -> Runner:
    return Runner(monkeypatch, capsys)
