"""`imagebind info`: the media type and tensor of each file, without weights."""

import numpy as np


def test_each_file_has_a_line_with_its_tensor(imagebind, image_file, audio_file, video_file, imu_file):
    run = imagebind("info", image_file, audio_file, video_file, imu_file)
    assert run.code == 0
    for expected in (
        ("image (vision)", "(1, 3, 224, 224)"),
        ("audio", "(3, 1, 128, 204)", "0.0–2.0, 2.5–4.5, 5.0–7.0"),
        ("video (vision)", "(15, 3, 2, 224, 224)"),
        ("imu", "(1, 6, 2000)"),
    ):
        assert any(all(part in line for part in expected) for line in run.out.splitlines()), expected


def test_warnings_are_printed_and_are_not_failures(imagebind, opposite_file):
    run = imagebind("info", opposite_file)
    assert run.code == 0 and f"{opposite_file}: the channels cancel out" in run.err
    run = imagebind("info", opposite_file, "--map", "*.wav=audio:channel=1")
    assert run.code == 0 and run.err == ""


def test_files_of_every_media_type_are_described(imagebind, tmp_path, deep_grey_file, imu_file, image_file):
    (tmp_path / "note.txt").write_text("a red star")
    np.save(tmp_path / "depth.npy", np.full((20, 30), 2.0, np.float32))
    np.save(tmp_path / "walk.npy", np.full((2000, 6), 5.0))
    maps = ("--map", "**/depth.npy=depth", "--map", "**/walk.npy=imu:rate=400", "--map", "*.png=thermal")
    run = imagebind("info", tmp_path, deep_grey_file, imu_file, image_file, *maps)
    assert run.code == 0, run.err
    lines = [line for line in run.out.splitlines() if line.startswith("│")]
    rows = {line.split("│")[1].strip().rpartition("/")[2]: line for line in lines}
    for name, expected in {
        "note.txt": ("text", "(1, 77)", "5 tokens"),
        "depth.npy": ("depth", "(1, 1, 224, 224)"),
        "walk.npy": ("imu", "(1, 6, 2000)", "0.0–5.0"),
        deep_grey_file.name: ("thermal", "(1, 1, 224, 224)"),
        imu_file.name: ("imu", "0.5–5.5"),
        image_file.name: ("image (vision)", "(1, 3, 224, 224)"),
    }.items():
        assert all(part in rows[name] for part in expected), rows[name]


def test_an_ambiguous_file_is_reported_and_resolved_by_an_option(imagebind, deep_grey_file, image_file):
    run = imagebind("info", deep_grey_file, image_file)
    assert run.code == 1 and "--modality" in run.err and "(1, 3, 224, 224)" in run.out
    run = imagebind("info", deep_grey_file, "--modality", "thermal")
    assert run.code == 0 and "(1, 1, 224, 224)" in run.out
    run = imagebind("info", deep_grey_file, "--map", "*.png=depth")
    assert run.code == 0 and "(1, 1, 224, 224)" in run.out and "depth" in run.out


def test_files_of_a_folder_that_are_not_media_are_counted(imagebind, tmp_path, image_file):
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 ")
    (tmp_path / "dog.jpg").write_bytes(image_file.read_bytes())
    run = imagebind("info", tmp_path)
    assert run.code == 0 and "(1, 3, 224, 224)" in run.out and "1 .pdf" in run.err
