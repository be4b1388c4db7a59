"""`imagebind embed`: readable files are embedded, and the others are named."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from pyarrow import parquet


def test_folders_and_files_become_rows(
    imagebind, small_weights, embedder, tmp_path, image_file, audio_file, imu_file
):
    folder = tmp_path / "media" / "deeper"
    folder.mkdir(parents=True)
    for file in (image_file, audio_file):
        shutil.copy(file, folder)
    (folder / ".hidden").write_text("no")
    run = imagebind("embed", tmp_path / "media", imu_file, "-o", tmp_path / "v.parquet", "-w", small_weights)
    assert run.code == 0 and "3 of 3 files embedded" in run.err
    table = parquet.read_table(tmp_path / "v.parquet").to_pylist()
    assert [row["modality"] for row in table] == ["audio", "vision", "imu"]
    assert table[0]["path"] == str(folder / audio_file.name)
    assert (table[0]["start"], table[0]["end"]) == (0, 7) and table[1]["start"] is None
    np.testing.assert_allclose(table[0]["vector"], embedder.encode(audio_file), atol=1e-5)


def test_files_in_a_store_are_embedded_into_a_store(
    imagebind, memory, small_weights, tmp_path, monkeypatch, image_file
):
    monkeypatch.chdir(tmp_path)
    memory.put_file(str(image_file), "/media/deeper/star.jpg")
    memory.pipe_file("/media/note.txt", b"a red star")
    inputs = ["memory://media", image_file, "memory://media/none.txt", "smell://x/y"]
    run = imagebind("embed", *inputs, "-o", "memory://out/v.parquet", "-w", small_weights)
    assert run.code == 1 and "3 of 5 files embedded into memory://out/v.parquet" in run.err
    with memory.open("/out/v.parquet") as file:
        star, note, same = parquet.read_table(file).to_pylist()
    assert (star["path"], note["path"]) == ("memory://media/deeper/star.jpg", "memory://media/note.txt")
    np.testing.assert_allclose(star["vector"], same["vector"], atol=1e-6)
    errors = [json.loads(line) for line in (tmp_path / "v.parquet.errors.jsonl").read_text().splitlines()]
    assert {error["path"] for error in errors} == {"memory://media/none.txt", "smell://x/y"}
    assert memory.ls("/out", detail=False) == ["/out/v.parquet"]


def test_an_output_with_a_file_scheme_is_a_path(imagebind, small_weights, tmp_path, image_file):
    run = imagebind("embed", image_file, "-o", f"file://{tmp_path}/v.npz", "-w", small_weights)
    assert run.code == 0 and [path.name for path in tmp_path.iterdir()] == ["v.npz"]


def test_unreadable_files_are_listed_and_the_others_are_embedded(
    imagebind, small_weights, tmp_path, image_file, deep_grey_file
):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(image_file.read_bytes()[:2000])
    run = imagebind(
        "embed",
        cut,
        image_file,
        deep_grey_file,
        tmp_path / "none.wav",
        "-o",
        tmp_path / "v.jsonl",
        "-w",
        small_weights,
    )
    assert run.code == 1 and "1 of 4 files embedded" in run.err
    assert "cut.jpg" in run.err and "Traceback" not in run.err
    assert len((tmp_path / "v.jsonl").read_text().splitlines()) == 1
    errors = [json.loads(line) for line in (tmp_path / "v.jsonl.errors.jsonl").read_text().splitlines()]
    assert {error["path"] for error in errors} == {str(cut), str(deep_grey_file), str(tmp_path / "none.wav")}
    assert {error["kind"] for error in errors} == {
        "UnreadableMediaError",
        "MissingMediaError",
        "AmbiguousMediaError",
    }


def test_warnings_are_listed_beside_failures_and_are_not_failures(
    imagebind, small_weights, tmp_path, image_file, opposite_file
):
    errors = tmp_path / "v.jsonl.errors.jsonl"
    command = ("embed", image_file, opposite_file, "-o", tmp_path / "v.jsonl", "-w", small_weights)
    run = imagebind(*command)
    assert run.code == 0 and "2 of 2 files embedded" in run.err
    assert f"1 warning about 1 file in {errors}" in run.err and "channels cancel out" in run.err
    (line,) = map(json.loads, errors.read_text().splitlines())
    assert line.keys() == {"path", "warning", "kind"} and line["kind"] == "Warning"
    assert line["path"] == str(opposite_file) and "pass channel=0" in line["warning"]
    run = imagebind(*command, tmp_path / "none.wav")
    assert run.code == 1
    lines = list(map(json.loads, errors.read_text().splitlines()))
    assert [line["kind"] for line in lines] == ["MissingMediaError", "Warning"]
    run = imagebind(*command, "--map", "*.wav=audio:channel=0")
    assert run.code == 0 and not errors.exists() and "cancel out" not in run.err


def test_a_run_without_vectors_keeps_an_earlier_output(imagebind, small_weights, tmp_path, image_file):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(image_file.read_bytes()[:2000])
    for suffix in ("jsonl", "parquet", "npz"):
        out = tmp_path / f"v.{suffix}"
        assert imagebind("embed", image_file, "-o", out, "-w", small_weights).code == 0
        before = out.read_bytes()
        run = imagebind("embed", cut, "-o", out, "-w", small_weights)
        assert run.code == 1 and "0 of 1 files embedded" in run.err
        assert out.read_bytes() == before and not list(tmp_path.glob(".*.tmp"))


def test_each_output_has_its_own_failures_and_a_run_without_failures_removes_them(
    imagebind, small_weights, tmp_path, image_file
):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    for out in ("a.npz", "errors.jsonl"):
        run = imagebind("embed", image_file, bad, "-o", tmp_path / out, "-w", small_weights)
        assert run.code == 1 and (tmp_path / f"{out}.errors.jsonl").is_file(), run.err
    assert "vector" in (tmp_path / "errors.jsonl").read_text()
    assert imagebind("embed", image_file, "-o", tmp_path / "a.npz", "-w", small_weights).code == 0
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"errors.jsonl", "errors.jsonl.errors.jsonl"}


@pytest.mark.parametrize("command", ["embed", "index"])
def test_files_refused_for_one_reason_are_one_line_with_one_mapping_for_all(
    imagebind, small_weights, tmp_path, deep_grey_file, command
):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(12):
        shutil.copy(deep_grey_file, scans / f"{number:02}.png")
    out = ("-o", tmp_path / "v.npz") if command == "embed" else ("--db", tmp_path / "index")
    run = imagebind(command, scans, *out, "-w", small_weights)
    (line,) = (line for line in run.err.splitlines() if "--map" in line)
    assert run.code == 1 and "00.png and 11 more: " in line and "--map '*.png=depth'" in line
    assert imagebind(command, scans, "--map", "*.png=depth", *out, "-w", small_weights).code == 0


def test_the_modality_option_resolves_an_ambiguous_file(imagebind, small_weights, tmp_path, deep_grey_file):
    run = imagebind("embed", deep_grey_file, "-m", "depth", "-o", tmp_path / "v.npz", "-w", small_weights)
    assert run.code == 0
    assert np.load(tmp_path / "v.npz")["modality"].tolist() == ["depth"]


def test_a_mapping_applies_to_a_folder_and_files_that_are_not_media_are_not_failures(
    imagebind, small_weights, tmp_path, deep_grey_file, image_file
):
    shutil.copy(deep_grey_file, tmp_path / "depth.png")
    shutil.copy(image_file, tmp_path)
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 ")
    run = imagebind(
        *("embed", tmp_path, "--map", "**/depth.png=depth", "-o", tmp_path / "v.npz", "-w", small_weights)
    )
    assert run.code == 0 and "2 of 2 files embedded" in run.err
    assert "1 file left out (not media, or part of a recording): 1 .pdf" in run.err
    assert sorted(np.load(tmp_path / "v.npz")["modality"]) == ["depth", "vision"]
    run = imagebind("embed", tmp_path, "--map", "depth", "-o", tmp_path / "v.npz")
    assert run.code == 2 and "GLOB=TYPE" in run.err


def test_each_clip_has_a_row(imagebind, small_weights, tmp_path, audio_file):
    imagebind("embed", audio_file, "--clips", "-o", tmp_path / "v.npz", "-w", small_weights)
    rows = np.load(tmp_path / "v.npz")
    assert rows["start"].tolist() == [0, 2.5, 5] and rows["end"].tolist() == [2, 4.5, 7]


def test_wrong_arguments_and_missing_weights_are_errors_without_an_output(imagebind, tmp_path, image_file):
    run = imagebind("embed", image_file, "-o", tmp_path / "v.csv")
    assert run.code == 2 and ".parquet" in run.err
    run = imagebind("embed", image_file, "-o", tmp_path / "v.npz", "-m", "smell")
    assert run.code == 2 and "thermal" in run.err
    run = imagebind("embed", image_file, "-o", tmp_path / "v.npz", "-w", tmp_path / "none.pth")
    assert run.code == 1 and "none.pth" in run.err and "Traceback" not in run.err
    assert not (tmp_path / "v.npz").exists()


def test_a_second_run_does_not_embed_the_output_of_the_first(imagebind, small_weights, tmp_path, image_file):
    shutil.copy(image_file, tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"")
    for _ in range(2):
        run = imagebind("embed", tmp_path, "-o", tmp_path / "v.parquet", "-w", small_weights)
        assert "1 of 2 files embedded" in run.err  # the image; the audio file is damaged


def test_file_names_that_are_not_utf_8_or_look_like_markup_are_written(
    imagebind, small_weights, tmp_path, image_file
):
    folder = tmp_path / "[/odd]"
    folder.mkdir(parents=True)
    shutil.copy(image_file, folder / os.fsdecode(b"caf\xe9.jpg"))
    for suffix in ("parquet", "jsonl", "npz"):
        run = imagebind("embed", folder, "-o", folder / f".{suffix}.{suffix}", "-w", small_weights)
        assert run.code == 0 and "[/odd]" in run.err, run.err
    assert r"caf\udce9.jpg" in parquet.read_table(folder / ".parquet.parquet").to_pylist()[0]["path"]
    run = imagebind("info", folder)
    assert run.code == 0 and r"[/odd]/caf\udce9.jpg" in run.out


def test_a_missing_device_is_a_usage_error(imagebind, small_weights, tmp_path, image_file):
    for device in ("smell", "cuda:99"):
        run = imagebind(
            "embed", image_file, "-o", tmp_path / "v.npz", "-w", small_weights, "--device", device
        )
        assert run.code == 2 and device in run.err and "Traceback" not in run.err


def test_ray_options_without_ray_and_options_that_ray_lacks_are_usage_errors(imagebind, tmp_path, image_file):
    for option in ("--partitions", "--actors", "--ray-address"):
        run = imagebind("embed", image_file, "-o", tmp_path / "v.npz", option, "1")
        assert run.code == 2 and "--engine ray" in run.err
    run = imagebind("embed", image_file, "-o", tmp_path / "v", "--engine", "ray", "--map", "*.png=depth")
    assert run.code == 2 and "--modality" in run.err
    run = imagebind("embed", image_file, "-o", tmp_path / "v", "--engine", "ray", "--device", "mps")
    assert run.code == 2 and "mps" in run.err and "cuda" in run.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_embed_on_cuda_writes_the_vectors_of_the_cpu(
    imagebind, small_weights, tmp_path, image_file, audio_file
):
    for device in ("cpu", "cuda"):
        run = imagebind(
            "embed",
            image_file,
            audio_file,
            "-o",
            tmp_path / f"{device}.npz",
            "-w",
            small_weights,
            "--device",
            device,
        )
        assert run.code == 0, run.err
    on_cpu, on_cuda = (np.load(tmp_path / f"{device}.npz") for device in ("cpu", "cuda"))
    assert set(on_cpu) == set(on_cuda)
    np.testing.assert_allclose(on_cuda["vector"], on_cpu["vector"], atol=1e-3)
