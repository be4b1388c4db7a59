"""Requests: media type, name and tensor of a user's item."""

import io
import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.errors import AmbiguousMediaError, MediaError, MissingExtraError
from imagebind.intake.requests import (
    MAX_TEXT_BYTES,
    MAX_TEXT_NAME_CHARACTERS,
    Request,
    default_transform,
    identify,
    prepare,
)
from imagebind.modality import MediaKind, ModalityType

TONE = (np.sin(np.arange(16000) / 8) * 0.3).astype(np.float32)
IMAGE = np.zeros((30, 40, 3), np.uint8)
FRAMES = np.arange(50, dtype=np.uint8).repeat(30 * 40 * 3).reshape(50, 30, 40, 3)
IMU_SAMPLES = np.full((2000, 6), 5.0)


def prepared(item, **options):
    request = identify(item, **options)
    return prepare(request, default_transform(request.kind))


@pytest.mark.parametrize("kind", MediaKind)
def test_every_media_type_has_a_transform_of_its_modality(kind):
    assert default_transform(kind).modality is kind.modality


def test_a_str_is_text_even_if_a_file_has_that_name(image_file):
    request = identify(str(image_file))
    assert (request.kind, request.payload) == (MediaKind.TEXT, str(image_file))


def test_the_content_of_a_file_determines_its_media_type(image_file, audio_file, video_file, imu_file):
    files = {"image": image_file, "audio": audio_file, "video": video_file, "imu": imu_file}
    for kind, path in files.items():
        content = path.read_bytes()
        with path.open("rb") as file:
            for source in (path, content, bytearray(content), io.BytesIO(content), file):
                assert identify(source).kind == kind
            assert identify(path).name == identify(file).name == str(path)
        assert identify(content).name == f"<{len(content)} bytes>"
    assert identify(Image.open(image_file)).kind is MediaKind.IMAGE


def test_a_request_is_returned_unchanged():
    request = Request(kind=MediaKind.DEPTH, payload=np.ones((4, 4)), name="frame 7")
    assert identify(request) is request and identify(request, modality="audio") is request


def test_a_mapping_has_the_media_type_as_key_and_options_as_other_keys():
    request = identify({"depth": np.ones((4, 4)), "focal": 500})
    assert request.kind is MediaKind.DEPTH and request.options == {"focal": 500}
    for kind in MediaKind:
        assert identify({kind.value: np.ones((4, 4))}).kind is kind
        assert identify({kind: np.ones((4, 4))}).kind is kind  # MediaKind is a str


@pytest.mark.parametrize(
    "item", [{}, {"smell": 1}, {"rate": 3}, {1: 2}, {"audio": "a.wav", "video": "a.mp4"}]
)
def test_a_mapping_without_exactly_one_modality_is_refused_with_the_known_ones(item):
    with pytest.raises(MediaError, match=r"mapping with.*exactly one of audio, depth, image.*vision"):
        identify(item)


def test_the_key_of_a_mapping_must_agree_with_modality():
    for modality in ("audio", "video", ModalityType.DEPTH):
        with pytest.raises(MediaError, match=f"expected {modality!s}, as given by modality=, got image"):
            identify({"image": IMAGE}, modality=modality)
    for modality in ("image", "vision", MediaKind.IMAGE, ModalityType.VISION, None):
        assert identify({"image": IMAGE}, modality=modality).kind is MediaKind.IMAGE
    assert identify({"vision": FRAMES}, modality="video").kind is MediaKind.VIDEO


def test_modality_makes_a_str_a_path_and_gives_an_array_its_type(image_file):
    request = identify(str(image_file), modality="image")
    assert (request.kind, request.name) == (MediaKind.IMAGE, str(image_file))
    for modality in ("depth", ModalityType.DEPTH, MediaKind.DEPTH):
        assert identify(np.ones((4, 4)), modality=modality).kind is MediaKind.DEPTH
    with pytest.raises(ValueError, match=r"modality: expected one of vision, image.*got 'smell'"):
        identify("a", modality="smell")


def test_vision_is_resolved_to_image_or_video(image_file, video_file, deep_grey_file):
    for item, kind in [
        (image_file, "image"),
        (str(image_file), "image"),
        (video_file, "video"),
        (str(video_file), "video"),
        (video_file.read_bytes(), "video"),
        (deep_grey_file, "image"),
        (IMAGE, "image"),
        (Image.fromarray(IMAGE), "image"),
        ((FRAMES, 25), "video"),
    ]:
        assert identify(item, modality="vision").kind == kind
        assert identify({"vision": item}).kind == kind
    assert identify({"vision": FRAMES, "fps": 25}).kind is MediaKind.VIDEO


@pytest.mark.parametrize("item", [None, 7, 2.5, ["a", "b"], object(), len])
def test_items_that_cannot_be_embedded_are_refused_with_the_expected_types(item):
    with pytest.raises(MediaError, match=rf"expected text .*, got {type(item).__name__}") as caught:
        identify(item)
    assert not isinstance(caught.value, AmbiguousMediaError)


def test_an_array_alone_is_ambiguous():
    for array in (np.ones((3, 3)), torch.ones(3, 3)):
        with pytest.raises(
            AmbiguousMediaError,
            match=r"\(3, 3\)>: expected a media type, got an array of unknown modality; pass ",
        ):
            identify(array)


def test_every_form_of_a_recording_gives_the_same_views(imu_file):
    audio_views = [
        prepared((TONE, 16000), modality="audio"),
        prepared({"audio": (TONE, 16000)}),
        prepared({"audio": TONE, "rate": 16000}),
        prepared({"audio": torch.from_numpy(TONE)[None], "rate": 16000.0}),
    ]
    assert all(torch.equal(each.views, audio_views[0].views) for each in audio_views)
    assert audio_views[0].views.shape == (3, 1, 128, 204) and len(audio_views[0].spans) == 3
    video_views = [
        prepared({"video": FRAMES, "fps": 25}),
        prepared({"vision": FRAMES, "fps": 25}),
        prepared((FRAMES, 25), modality="vision"),
    ]
    assert all(torch.equal(each.views, video_views[0].views) for each in video_views)
    assert video_views[0].views.shape == (15, 3, 2, 224, 224) and len(video_views[0].spans) == 5
    seconds = np.arange(2000) / 400
    imu_views = [
        prepared({"imu": IMU_SAMPLES, "rate": 400}),
        prepared({"imu": IMU_SAMPLES, "timestamps": seconds}),
        prepared((IMU_SAMPLES, 400), modality="imu"),
    ]
    assert all(torch.allclose(each.views, imu_views[0].views) for each in imu_views)
    assert imu_views[0].views.shape == (1, 6, 2000)


def test_items_without_time_have_one_view_and_no_spans():
    for item, shape in [
        ({"image": IMAGE}, (1, 3, 224, 224)),
        ({"depth": np.ones((30, 40))}, (1, 1, 224, 224)),
        ({"thermal": IMAGE}, (1, 1, 224, 224)),
        ("a dog", (1, 77)),
    ]:
        views = prepared(item)
        assert views.views.shape == shape and views.spans == ()


def test_a_text_file_is_read_up_to_a_limit(tmp_path):
    path = tmp_path / "note.txt"
    path.write_bytes(b"\xef\xbb\xbfA d\xc3\xb6g")
    assert torch.equal(prepared(path).views, prepared("A dög").views)
    with path.open("rb") as file:
        assert torch.equal(prepared({"text": file}).views, prepared("A dög").views)
    path.write_text("x" * (MAX_TEXT_BYTES - 1) + "ö" * 9, encoding="utf-8")  # truncated within a character
    assert prepared(path).views.shape == (1, 77)
    path.write_bytes(b"d\xf6g " * 9)
    with pytest.raises(MediaError, match=r"note\.txt: expected text in UTF-8, got bytes that are not UTF-8"):
        prepared({"text": path})


@pytest.mark.parametrize("text", [["a", "b"], [], None, 7, np.array(["a"])])
def test_a_text_item_must_be_a_single_text(text):
    with pytest.raises(MediaError, match="expected one text"):
        prepared({"text": text})


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": IMAGE, "sise": 3}, r"size.*, got sise"),
        ({"depth": np.ones((4, 4)), "focal": float("nan")}, "focal=nan"),
        ({"depth": np.ones((4, 4)), "sensor": "nose"}, "sensor='nose'"),
        ({"audio": (TONE, 16000), "clip_seconds": float("nan")}, "clip_seconds=nan"),
        ({"audio": (TONE, 16000), "clip_seconds": float("inf")}, "clip_seconds=inf"),
        ({"audio": (TONE, 16000), "clips": "many"}, "clips='many'"),
        ({"audio": TONE, "rate": float("inf")}, "inf"),
        ({"audio": TONE, "rate": None}, "None"),
        ({"video": FRAMES, "fps": float("nan")}, "nan"),
        ({"video": (FRAMES, 25), "clips": 0}, "clips"),
        ({"video": (FRAMES, 25), "clip_seconds": float("inf")}, "clip_seconds=inf"),
        ({"imu": IMU_SAMPLES, "rate": -1}, "rate=-1"),
        ({"imu": IMU_SAMPLES, "rate": 400, "window_seconds": float("nan")}, "window_seconds=nan"),
        ({"thermal": IMAGE, "low": float("nan"), "high": 1}, "low=nan"),
        ({"text": "a", "context_length": 1}, "context_length=1"),
    ],
)
def test_an_invalid_option_is_an_error_that_names_the_item(item, message):
    with pytest.raises(MediaError, match=message) as caught:
        prepared(item)
    assert caught.value.item == identify(item).name


def test_an_error_names_the_item_if_the_transform_did_not_know_its_name(tmp_path):
    request = Request(kind=MediaKind.IMAGE, payload=np.zeros((3,)), name="frame 7")
    with pytest.raises(MediaError, match=r"^frame 7: expected an array .*, got shape \(3,\)"):
        prepare(request, default_transform(MediaKind.IMAGE))


def test_a_missing_package_is_not_an_error_of_the_item():
    def transform(item):
        raise MissingExtraError("package", extra="extra", purpose="reading")

    with pytest.raises(MissingExtraError):
        prepare(identify("a dog"), transform)


def test_the_name_of_a_long_text_is_truncated_and_that_of_a_long_path_is_not():
    text = identify("long " * 100)
    assert len(text.name) == MAX_TEXT_NAME_CHARACTERS and text.name.endswith("…")
    path = "folder/" * 30 + "a.wav"
    assert identify(path, modality="audio").name == identify({"audio": path}).name == path
    assert identify({"audio": Path(path)}).name == path
    undecodable = Path(os.fsdecode(b"caf\xe9.wav"))
    assert identify(undecodable, modality="audio").name == r"caf\udce9.wav"
    assert identify("a lone surrogate \ud800").name == r"a lone surrogate \ud800"


def test_given_spans_replace_those_of_the_transform(audio_file):
    request = identify(audio_file)
    views = prepare(request, default_transform(request.kind), spans=[(1.0, 3.0), (2.5, 4.5)])
    assert views.spans == ((1.0, 3.0), (2.5, 4.5)) and len(views.views) == 2
    whole = prepare(request, default_transform(request.kind))
    assert len(whole.views) == 3


OTHER_ERRORS = [OSError(22, "Invalid argument"), EOFError("ended"), av.error.UnknownError(1, "")]


@pytest.mark.parametrize("error", OTHER_ERRORS)
def test_an_error_of_another_library_names_the_item(error):
    def reader(item):
        raise error

    request = identify({"image": torch.zeros(3, 8, 8)})
    with pytest.raises(MediaError, match="cannot be read") as caught:
        prepare(replace(request, name="dog.png"), reader)
    assert caught.value.item == "dog.png" and caught.value.__cause__ is error
