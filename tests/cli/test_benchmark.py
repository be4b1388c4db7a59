"""`imagebind benchmark`: its table, and its JSON report on request."""

import json

import pytest
import typer
from typer.testing import CliRunner

from imagebind.benchmark import search, text
from imagebind.benchmark.jobs import JOBS
from imagebind.cli.benchmark import benchmark
from imagebind.errors import MissingExtraError

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)
app.command()(benchmark)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(text, "in_fresh_process", lambda job, *arguments: JOBS[job](*map(str, arguments)))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_table_names_the_machine_and_the_targets_that_are_met(run, tmp_path):
    path = tmp_path / "figures.json"
    result = run("text", "--size", "small", "--json", path)
    assert result.exit_code == 0, result.output
    assert "cores" in result.output and "torch" in result.output and "new random weights" in result.output
    assert "≥ 20,000" in result.output and "captions" in result.output
    report = json.loads(path.read_text())
    assert [row["section"] for row in report["rows"]] == ["text", "text"]
    for row in report["rows"]:
        assert ("met" if row["met"] else "fell short") in result.output
    assert report["machine"]["cpu"] in result.output


def test_rows_measured_before_an_error_are_shown_and_written(run, tmp_path, monkeypatch):
    def broken(size, folder):
        raise MissingExtraError("lancedb", extra="search", purpose="searching")
        yield

    monkeypatch.setattr(search, "measure", broken)
    path = tmp_path / "figures.json"
    result = run("text", "search", "--size", "small", "--json", path)
    assert isinstance(result.exception, MissingExtraError) and "≥ 20,000" in result.output
    report = json.loads(path.read_text())
    assert [row["section"] for row in report["rows"]] == ["text", "text"]
    assert "Cut short by MissingExtraError: searching needs lancedb" in report["notes"][-1]


def test_an_error_before_the_first_row_keeps_an_earlier_report(run, tmp_path, monkeypatch):
    def broken(size, folder):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(search, "measure", broken)
    path = tmp_path / "figures.json"
    path.write_text("{}")
    assert run("search", "--size", "small", "--json", path).exit_code != 0
    assert path.read_text() == "{}"


def test_help_names_the_extras(run):
    assert "imagebind[app,train]" in run("--help").output


@pytest.mark.parametrize(
    ("arguments", "message"), [(["sound"], "got sound"), (["--size", "vast"], "huge, small")]
)
def test_an_invalid_argument_is_refused_with_the_valid_ones(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2 and message in " ".join(result.output.replace("│", " ").split())
