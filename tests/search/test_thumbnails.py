"""Thumbnails: small JPEGs of the tensors that the trunks receive."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.intake.requests import Views, default_transform, identify, prepare
from imagebind.modality import MediaKind
from imagebind.search.thumbnails import THUMBNAIL_SIDE, coloured, thumbnails
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.video import VideoTransform

MAX_THUMBNAIL_BYTES = 12_000


def decoded_thumbnails(views: Views) -> list[np.ndarray]:
    """Return the pixels of each thumbnail: (h, w, 3)."""
    found = thumbnails(views)
    assert all(thumbnail is not None and len(thumbnail) < MAX_THUMBNAIL_BYTES for thumbnail in found)
    return [np.asarray(Image.open(io.BytesIO(thumbnail))).astype(int) for thumbnail in found]


@pytest.mark.parametrize("kind", [kind for kind in MediaKind if kind is not MediaKind.TEXT])
def test_media_types_other_than_text_have_a_thumbnail(
    kind, image_file, video_file, audio_file, deep_grey_file, imu_file
):
    files = {
        MediaKind.IMAGE: image_file,
        MediaKind.VIDEO: video_file,
        MediaKind.AUDIO: audio_file,
        MediaKind.IMU: imu_file,
    }
    item = {kind.value: files.get(kind, deep_grey_file)}
    views = prepare(identify(item), default_transform(kind))
    for pixels in decoded_thumbnails(views):
        assert pixels.shape[2] == 3 and pixels.shape[0] <= THUMBNAIL_SIDE and pixels.std() > 5
    assert len(thumbnails(views)) == max(len(views.spans), 1)


def test_text_has_no_thumbnail():
    views = prepare(identify("a dog"), default_transform(MediaKind.TEXT))
    assert thumbnails(views) == (None,)


@pytest.mark.parametrize("size", [224, 100, 300])
def test_an_image_keeps_its_colours(size):
    pixels = np.zeros((size, size, 3), dtype=np.uint8)
    pixels[: size // 2] = (200, 30, 60)
    pixels[size // 2 :] = (20, 180, 90)
    views = prepare(identify({"image": pixels}), ImageTransform(size=size))
    (thumbnail,) = decoded_thumbnails(views)
    assert np.abs(thumbnail[5, 30] - (200, 30, 60)).max() < 12
    assert np.abs(thumbnail[-5, 30] - (20, 180, 90)).max() < 12


def test_a_window_of_a_video_shows_a_frame_from_its_middle():
    frames = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 40 * 60 * 3).reshape(50, 40, 60, 3)
    transform = VideoTransform(clips=5, clip_seconds=1, size=64)
    whole = prepare(identify({"video": frames, "fps": 10}), transform)
    as_one = Views(kind=MediaKind.VIDEO, views=whole.views, spans=((0.0, 5.0),))
    assert np.abs(decoded_thumbnails(as_one)[0] - frames[20, 0, 0, 0].astype(int)).max() < 6
    each = [pixels.mean() for pixels in decoded_thumbnails(whole)]
    assert each == sorted(each) and len(each) == 5


def test_near_is_bright_and_a_uniform_image_is_no_error():
    depth = torch.linspace(0, 1, 224).expand(1, 1, 224, 224)  # disparity rises to the right
    (thumbnail,) = decoded_thumbnails(Views(kind=MediaKind.DEPTH, views=depth))
    assert thumbnail[50, -3].sum() > 400 > 150 > thumbnail[50, 3].sum()
    (uniform,) = thumbnails(Views(kind=MediaKind.THERMAL, views=torch.zeros(1, 1, 224, 224)))
    assert uniform is not None


def test_low_frequencies_are_at_the_bottom_and_padding_is_not_shown():
    tone = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)  # one second of the two
    views = prepare(identify({"audio": tone, "rate": 16_000}), AudioTransform(clips=1))
    (thumbnail,) = decoded_thumbnails(views)
    brightness = thumbnail.sum(axis=2).mean(axis=1)
    assert brightness[-40:].mean() > 2 * brightness[:40].mean()
    assert thumbnail.shape[1] < 110  # frames of one second


def test_silence_has_a_thumbnail():
    assert thumbnails(Views(kind=MediaKind.AUDIO, views=torch.zeros(1, 1, 128, 204)))[0] is not None


def test_colours_go_from_minimum_to_maximum():
    ramp = np.asarray(coloured(np.array([[-3.0, 0.0, 3.0]]), ((0, 0, 0), (10, 20, 30), (255, 255, 255))))
    assert ramp[0, 0].tolist() == [0, 0, 0] and ramp[0, 2].tolist() == [255, 255, 255]
    assert ramp[0, 1].sum() < 70
