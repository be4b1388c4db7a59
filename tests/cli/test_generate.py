"""`imagebind generate`: files and sheets of images, options of Stable unCLIP, and bad input in one line."""

import numpy as np
import pytest
import soundfile
from PIL import Image


@pytest.fixture
def small(imagebind, unclip_folder):
    """The command with the small model and few steps of Stable unCLIP."""

    def run(*arguments: object):
        return imagebind(
            "generate", "--model", "tiny", "--decoder", unclip_folder, "--steps", "2", *arguments
        )

    return run


def test_images_are_written_to_numbered_files_and_repeated_by_the_seed(small, world, tmp_path):
    audio = world / "000000" / "audio.wav"
    query = ("--audio", audio, "--text", "at night", "--weight", "text=0.4", "--minus", "a red thing")
    run = small(*query, "--out", tmp_path / "rain.png", "--seed", "1", "--count", "2")
    assert run.code == 0, run.err
    files = [tmp_path / "rain-1.png", tmp_path / "rain-2.png"]
    assert run.out.splitlines() == [str(path) for path in files]
    first, second = (Image.open(path) for path in files)
    assert first.size == (64, 64) and first != second
    run = small(*query, "--out", tmp_path / "again.bmp", "--seed", "2")
    assert run.code == 0 and Image.open(tmp_path / "again.bmp").format == "BMP"
    assert np.abs(np.asarray(Image.open(tmp_path / "again.bmp"), float) - np.asarray(second)).mean() < 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.bmp", "rain-1.png", "rain-2.png"]


def test_a_sheet_has_all_images_and_options_of_stable_unclip_are_passed_on(small, world, tmp_path):
    options = ("--init", world / "000001" / "image.png", "--strength", "0.5", "--noise-level", "10")
    more = ("--guidance-scale", "2", "--batch-size", "2", "--size", "32", "--dtype", "bfloat16")
    run = small(
        "--text", "a cone", *options, *more, "--count", "3", "--sheet", "--out", tmp_path / "sheet.jpg"
    )
    assert run.code == 0, run.err
    assert Image.open(tmp_path / "sheet.jpg").size == (64, 64)  # 2 x 2 images of 32 x 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected at least one item"),
        (["--text", " "], "text: expected an item, got an empty one"),
        (["--text", "a", "--minus", "a"], "cancel out"),
        (["--text", "a", "--weight", "text"], "expected TYPE=NUMBER"),
        (["--text", "a", "--weight", "smell=1"], "expected TYPE=NUMBER"),
        (["--text", "a", "--weight", "audio=1"], "expected --audio, got none"),
        (["--text", "a", "--weight", "text=nan"], "expected a finite number, got 'text=nan'"),
        (["--text", "a", "--weight", "text=-inf"], "expected a finite number, got 'text=-inf'"),
        (["--text", "a", "--weight", "text=-1"], "expected an item with a weight above 0, got text=-1"),
        (["--text", "a", "--weight", "text=1", "--weight", "text=2"], "expected one weight of text, got two"),
        (["--text", "a", "--seed", "-1"], "got '-1'"),
        (["--text", "a", "--strength", "0.5"], "expected --init"),
        (["--text", "a", "--noise-level", "2000"], "noise_level: expected 0 to 999"),
        (["--text", "a", "--offload", "--device", "cpu"], "offload: expected an accelerator"),
    ],
)
def test_options_that_cannot_be_used_are_reported_without_a_traceback(small, tmp_path, arguments, message):
    run = small(*arguments, "--out", tmp_path / "x.png")
    assert run.code == 2 and message in " ".join(run.err.replace("│", " ").split())
    assert "Traceback" not in run.err and list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_an_error_before_the_model_is_loaded(imagebind, tmp_path):
    for out, message in (
        (tmp_path / "none" / "x.png", "expected an existing folder"),
        (tmp_path / "x.txt", "with a suffix of .png"),
        (tmp_path / "x", "with a suffix of .png"),
    ):
        run = imagebind("generate", "--model", "no-such-model", "--text", "a", "--out", out)
        assert run.code == 2 and message in " ".join(run.err.replace("│", " ").split())


def test_silent_audio_a_missing_file_and_decoders_of_other_spaces_are_one_line_errors(
    imagebind, unclip_folder, small, small_weights, tmp_path
):
    soundfile.write(tmp_path / "silent.wav", np.zeros(32_000), 16_000)
    out = ("--out", tmp_path / "x.png")
    run = small("--audio", tmp_path / "silent.wav", *out)
    assert run.code == 1 and "silent.wav: expected audio that can be heard, got silence" in run.err
    run = small("--image", tmp_path / "none.png", *out)
    assert run.code == 1 and "none.png" in run.err and len(run.err.splitlines()) == 1
    run = imagebind("generate", "--model", small_weights, "--text", "a", *out)
    assert run.code == 1 and "which has no decoder" in run.err and len(run.err.splitlines()) == 1
    run = imagebind("generate", "--model", small_weights, "--decoder", unclip_folder, "--text", "a", *out)
    assert run.code == 1 and "expected vectors of 128 numbers, got 32" in run.err
    run = imagebind("generate", "--model", "tiny", "--decoder", tmp_path, "--text", "a", *out)
    assert run.code == 1 and "got no model_index.json" in run.err and len(run.err.splitlines()) == 1


def test_the_decoder_of_the_small_model_has_no_options_of_stable_unclip(imagebind, tmp_path):
    run = imagebind("generate", "--model", "tiny", "--text", "a", "--steps", "3", "--out", tmp_path / "x.png")
    assert run.code == 2 and "--steps" in run.err and "pass --decoder" in run.err


def test_names_with_brackets_are_printed_as_they_are_and_no_input_is_replaced(imagebind, tmp_path):
    (tmp_path / "d[").mkdir()
    for name in ("[bold]y.png", "d[/x].png"):
        run = imagebind("generate", "-w", "tiny", "--text", "a red star", "--out", tmp_path / name)
        assert run.code == 0 and name in run.out and (tmp_path / name).is_file(), run.err
    given = tmp_path / "[bold]y.png"
    content = given.read_bytes()
    run = imagebind("generate", "-w", "tiny", "--image", given, "--out", given)
    assert run.code == 2 and "another file than the input" in " ".join(run.err.replace("│", " ").split())
    assert given.read_bytes() == content
