"""Collecting files from arguments: folders, media types, mappings and failures."""

import os
import shutil
from pathlib import Path

from imagebind.intake.files import collect_requests, expand
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import MediaKind


def test_a_folder_expands_to_the_files_below_it_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("c.txt", "b/a.txt", ".hidden", "a.txt"):
        (tmp_path / name).write_text("x")
    found = [path.relative_to(tmp_path).as_posix() for path in expand([tmp_path])]
    assert found == ["a.txt", "c.txt", "b/a.txt"]
    assert list(expand([tmp_path / ".hidden"])) == [tmp_path / ".hidden"]  # given by name
    assert [path.name for path in expand([tmp_path], without=[tmp_path / "c.txt"])] == ["a.txt", "a.txt"]


def test_a_folder_that_cannot_be_listed_is_yielded_itself(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(expand([tmp_path])) == [tmp_path]


def test_a_file_that_is_not_media_is_counted_in_a_folder_and_a_failure_if_given(tmp_path, image_file):
    (tmp_path / "notes.zip").write_bytes(b"PK\3\4")
    (tmp_path / "zeros.wav").write_bytes(bytes(99))
    shutil.copy(image_file, tmp_path / "a.jpg")
    collected = collect_requests([tmp_path], modality=None, mappings=[])
    assert [request.name for request in collected.requests] == [str(tmp_path / "a.jpg")]
    assert dict(collected.not_media) == {".zip": 1}
    assert [error.item for error in collected.failures] == [str(tmp_path / "zeros.wav")]  # damaged
    collected = collect_requests([tmp_path / "notes.zip"], modality=None, mappings=[])
    assert [error.item for error in collected.failures] == [
        str(tmp_path / "notes.zip")
    ] and not collected.not_media


def test_a_mapping_overrides_the_modality_of_all_files(tmp_path, deep_grey_file, image_file):
    (tmp_path / "depth").mkdir()
    shutil.copy(deep_grey_file, tmp_path / "depth" / "1.png")
    shutil.copy(image_file, tmp_path / "a.jpg")
    mappings = [parse_mapping("depth/*.png=depth:kinect_v1")]
    for modality, other in ((None, MediaKind.IMAGE), (MediaKind.THERMAL, MediaKind.THERMAL)):
        collected = collect_requests([tmp_path], modality=modality, mappings=mappings)
        assert [request.kind for request in collected.requests] == [other, MediaKind.DEPTH]
        assert dict(collected.requests[1].options) == {"sensor": "kinect_v1"} and not collected.failures
    one_file = collect_requests(
        [tmp_path / "depth" / "1.png"], modality=None, mappings=[parse_mapping("*.png=depth")]
    )
    assert [request.kind for request in one_file.requests] == [MediaKind.DEPTH]


def test_the_error_for_an_ambiguous_file_has_the_option_that_resolves_it(
    tmp_path, deep_grey_file, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(deep_grey_file, tmp_path / "1.png")
    (error,) = collect_requests([Path()], modality=None, mappings=[]).failures
    assert error.item == "1.png" and "--map '*.png=depth'" in error.hint
    (error,) = collect_requests([Path("1.png")], modality=None, mappings=[]).failures
    assert error.item == "1.png" and "--modality" in error.hint
