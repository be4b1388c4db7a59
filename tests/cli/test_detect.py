"""`imagebind detect`: boxes of an image or video as a table, COCO JSON and a drawing."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.applications.video_detection import write_video
from imagebind.media.video_file import open_video
from imagebind.toyworld import render_audio
from imagebind.toyworld.group import GroupWorld, boxes_of, group_masks, render_group_image

TINY = ("--model", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Return a folder with an image of three objects, the audio of one, and their boxes as a csv file."""
    folder = tmp_path_factory.mktemp("detect")
    scene = GroupWorld(seed=3).group(1)
    Image.fromarray(render_group_image(scene)).save(folder / "group.png")
    audio, rate = render_audio(scene.things[2])
    soundfile.write(folder / "crescent.wav", audio.reshape(-1), rate)
    rows = [",".join(map(str, row)) for row in boxes_of(group_masks(scene)).tolist()]
    (folder / "boxes.csv").write_text("\n".join(["left,top,right,bottom", *rows]) + "\n")
    return folder


def test_queries_of_two_modalities_give_coco_json_and_a_drawing(imagebind, group, tmp_path):
    run = imagebind(
        *("detect", group / "group.png", "--text", "a green square", "--audio", group / "crescent.wav"),
        *("--proposals", group / "boxes.csv", "--threshold", "0.2", "--out", tmp_path / "found.png"),
        *("--json", tmp_path / "found.json", *TINY),
    )
    assert run.code == 0, run.err
    content = json.loads((tmp_path / "found.json").read_text())
    assert [each["name"] for each in content["categories"]] == ["a green square", "crescent.wav"]
    best = max(
        (each for each in content["annotations"] if each["category_id"] == 1), key=lambda e: e["score"]
    )
    assert best["bbox"][:2] == [248, 300]
    assert Image.open(tmp_path / "found.png").size == (480, 480)
    assert "a green square" in run.out and run.out.split()[:2] == ["score", "cosine"]


def test_without_detections_the_output_suggests_a_lower_threshold(imagebind, group):
    run = imagebind(
        *("detect", group / "group.png", "--text", "a yellow star", "--proposals", group / "boxes.csv"),
        *("--threshold", "0.99", *TINY),
    )
    assert run.code == 0 and "nothing found; try a lower --threshold" in run.out


def test_items_together_are_one_query_and_a_text_is_subtracted(imagebind, group, tmp_path):
    run = imagebind(
        *("detect", group / "group.png", "--text", "a square", "--text", "a green thing", "--minus", "sand"),
        *("--together", "--proposals", group / "boxes.csv", "--threshold", "0"),
        *("--json", tmp_path / "found.json", *TINY),
    )
    assert run.code == 0, run.err
    (category,) = json.loads((tmp_path / "found.json").read_text())["categories"]
    assert category["name"] == "a square + a green thing − sand"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected at least one item"),
        (("--text", "a", "--out", "nowhere/found.png"), "nowhere/found.png: expected an existing folder"),
        (("--text", "a", "--own-audio"), "expected a video, got an image"),
        (("--text", "a", "--detector", "yolo"), "expected also its weights"),
        (("--text", "a", "--proposals", "missing.csv"), "missing.csv: no such file"),
        (("--text", "a", "--proposals", "missing.pth"), "missing.pth: no such file"),
        (("--text", "a", "--fps", "3"), "expected a video, got an image"),
        (("--audio", "a.wav", "--background", "grass"), "expected also a query by --text"),
        (("--minus", "a"), "expected at least one item"),
        (("--text", "a", "--threshold", "2"), "got '2'"),
        (("--text", "a", "--temperature", "inf"), "expected a finite number above 0, got inf"),
        (("--text", "a", "--modality", "depth"), "expected image or video, got depth"),
        (("--audio", "missing.wav"), "missing.wav"),
    ],
)
def test_the_error_of_wrong_options_has_no_traceback(imagebind, group, arguments, message):
    run = imagebind("detect", group / "group.png", *arguments, *TINY)
    assert run.code != 0 and message in " ".join(run.err.replace("│", " ").split())
    assert "Traceback" not in run.err and "Errno" not in run.err


def test_a_file_without_boxes_for_the_image_is_named(imagebind, group, tmp_path):
    (tmp_path / "none.csv").write_text("left,top,right,bottom\n")
    run = imagebind("detect", group / "group.png", "--text", "a", "--proposals", tmp_path / "none.csv", *TINY)
    assert run.code == 0 and f"nothing found; {tmp_path / 'none.csv'} has no boxes for group.png" in run.out


def test_a_deep_grayscale_image_is_read_as_an_image_only_if_asked(imagebind, group, tmp_path):
    path = tmp_path / "gray.png"
    gray = np.asarray(Image.open(group / "group.png").convert("L"), dtype=np.uint16) * 257
    Image.fromarray(gray).save(path)
    arguments = ("detect", path, "--text", "a square", "--proposals", group / "boxes.csv", *TINY)
    run = imagebind(*arguments)
    assert run.code == 1 and "--modality image" in run.err and "modality=" not in run.err
    run = imagebind(*arguments, "--modality", "image", "--threshold", 0, "--json", tmp_path / "gray.json")
    assert run.code == 0 and len(json.loads((tmp_path / "gray.json").read_text())["annotations"]) == 3


def test_a_very_long_image_is_refused(imagebind, tmp_path):
    Image.new("RGB", (4000, 30)).save(tmp_path / "long.png")
    run = imagebind("detect", tmp_path / "long.png", "--text", "a", *TINY)
    assert run.code == 1 and "long.png: expected a longer side of" in run.err and "crop the image" in run.err


def test_an_audio_file_in_place_of_the_image_is_refused(imagebind, group):
    run = imagebind("detect", group / "crescent.wav", "--text", "a", *TINY)
    assert run.code == 1 and "crescent.wav: expected an image or a video, got audio" in run.err


def test_an_input_is_not_replaced_and_outputs_are_checked_before_the_model_is_loaded(
    imagebind, group, tmp_path
):
    image = group / "group.png"
    content = image.read_bytes()
    for arguments, message in (
        (("--out", image), "another file than the input"),
        (("--json", image), "another file than the input"),
        (("--out", tmp_path / "x.h5"), "a suffix of .png"),
        (("--json", tmp_path), "expected a file, got a folder"),
        (("--temperature", "0"), "expected a finite number above 0, got 0"),
    ):
        run = imagebind("detect", image, "--text", "a star", *arguments, "--model", "no-such-model")
        assert run.code == 2 and message in " ".join(run.err.replace("│", " ").split()), run.err
    assert image.read_bytes() == content


def test_a_video_of_detections_has_at_most_the_frame_rate_of_the_video(imagebind, tmp_path):
    video, out = tmp_path / "video.mp4", tmp_path / "found.mp4"
    write_video(
        video, [Image.new("RGB", (96, 64), (60 * number, 0, 0)) for number in range(3)], frames_per_second=2
    )
    run = imagebind("detect", video, "--text", "a star", "--fps", 10, "--out", out, "--model", "tiny")
    assert run.code == 0, run.err
    with open_video(video) as given, open_video(out) as written:
        assert (written.info.frames, written.info.duration) == (3, pytest.approx(given.info.duration))
