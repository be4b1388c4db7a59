"""`imagebind benchmark`: a table, and JSON if asked for."""

import json

import pytest
import typer
from typer.testing import CliRunner

from imagebind.benchmark import text
from imagebind.benchmark.jobs import JOBS
from imagebind.cli.benchmark import benchmark

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)
app.command()(benchmark)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(text, "in_fresh_process", lambda job, *arguments: JOBS[job](*map(str, arguments)))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_table_names_the_machine_and_says_which_targets_are_met(run, tmp_path):
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


@pytest.mark.parametrize(
    ("arguments", "said"), [(["sound"], "unknown sections sound"), (["--size", "vast"], "huge, small")]
)
def test_a_wrong_word_is_refused_with_the_right_ones(run, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2 and said in " ".join(result.output.replace("│", " ").split())
