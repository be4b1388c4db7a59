"""`imagebind quickstart`: its output and its errors."""

import re
import shlex

import pytest
import torch

from imagebind.checkpoints import factory
from imagebind.checkpoints.factory import imagebind_tiny, save_model


@pytest.fixture
def untrained(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_model(imagebind_tiny(), tmp_path / "tiny")
    monkeypatch.setattr(factory, "TINY_FOLDER", tmp_path / "tiny")


def test_the_output_has_the_files_the_results_and_the_next_step(imagebind, untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = imagebind("quickstart")
    assert run.code == 0, run.err
    assert "Texts against images: trained together" in run.out
    assert "Texts against audio: never trained together" in run.out
    assert len(re.findall(r"on the diagonal, in \d of 7 rows", run.out)) == 2
    assert (
        len(re.findall(r"^(As expected|Not as expected: .* has rank \d of \d)\.", run.out, re.MULTILINE)) == 2
    )
    assert "trained only on a toy world of coloured shapes" in run.out
    assert "4.8 GB" in run.out and "CC BY-NC-SA 4.0" in run.out
    assert "imagebind-quickstart/similarity.png" in run.out
    assert (tmp_path / "imagebind-quickstart" / "similarity.png").is_file()


def test_the_last_line_is_a_command_on_the_files_just_written(imagebind, untrained, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # the command must not be wrapped
    folder = tmp_path / "a folder"
    line = imagebind("quickstart", folder).out.strip().splitlines()[-1]
    command = shlex.split(line)
    assert command[:2] == ["imagebind", "compare"]
    run = imagebind(*command[1:], "--weights", tmp_path / "tiny")
    assert run.code == 0, run.err
    assert command.count("--text") == command.count("--image") == command.count("--audio") == 2
    assert (folder / "scene-1" / "image.txt").read_text().strip() in command


def test_tables_fit_a_terminal_of_eighty_columns(imagebind, untrained, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run = imagebind("quickstart", tmp_path / "quick")
    lines = [line for line in run.out.splitlines() if "…" in line or len(line) > 80]
    assert [line for line in lines if not line.startswith(("imagebind compare", str(tmp_path)))] == []


def test_a_folder_with_other_files_is_refused_without_a_traceback(imagebind, untrained, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    run = imagebind("quickstart", tmp_path / "mine")
    assert run.code == 1 and "got one with 'thesis.txt'" in run.err
    assert "Traceback" not in run.err and run.out == ""


def test_the_command_comes_before_embed_in_the_help_and_has_an_example(imagebind):
    assert re.search(r"quickstart.*embed", imagebind("--help").out, re.DOTALL)
    assert "imagebind quickstart somewhere/else" in imagebind("quickstart", "--help").out
