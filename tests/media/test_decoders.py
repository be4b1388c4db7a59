"""Other libraries' video decoders give the clips of their frames, and decode only the frames of clips."""

import numpy as np
import pytest
import torch

from imagebind.errors import MediaError
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.media.decoders import is_decoder
from imagebind.modality import MediaKind
from imagebind.transforms.video import VideoTransform
from tests.media.decoded import VideoDecoder, VideoReader

FRAMES = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (100, 24, 32, 3), np.uint8))
CLIPS = VideoTransform()((FRAMES, 25))


def clips_of(item, modality=None):
    request = identify(item, modality=modality)
    assert request.kind is MediaKind.VIDEO
    return prepare(request, default_transform(request.kind)).views


@pytest.mark.parametrize(
    "decoder",
    [
        VideoDecoder(FRAMES, 25.0),
        VideoDecoder(FRAMES, 25.0, dimension_order="NHWC"),
        VideoDecoder(FRAMES, None),
        VideoReader(FRAMES, 25.0),
        VideoReader(FRAMES, 24.999999999),
    ],
    ids=["torchcodec", "channels last", "no rate", "decord", "rounded rate"],
)
def test_a_video_decoder_gives_the_clips_of_its_frames(decoder):
    for item, modality in (
        (decoder, None),
        (decoder, "video"),
        (decoder, "vision"),
        ({"video": decoder}, None),
        ({"vision": decoder}, None),
    ):
        assert torch.equal(clips_of(item, modality), CLIPS)


def test_only_the_frames_of_clips_are_decoded_each_once():
    decoder = VideoDecoder(FRAMES, 25.0)
    clips_of(decoder)
    assert sorted(set(decoder.requested)) == decoder.requested and len(decoder.requested) <= 10


def test_the_triple_of_torchvision_gives_its_frames():
    triple = (FRAMES, torch.zeros(1, 100), {"video_fps": 25.0, "audio_fps": 16000})
    for item, modality in ((triple, "video"), ({"video": triple}, None), ({"vision": triple}, None)):
        assert torch.equal(clips_of(item, modality), CLIPS)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (VideoDecoder(FRAMES.float(), 25.0), "type torch.float32"),
        (VideoDecoder(FRAMES[..., :1].expand(-1, -1, -1, 2), 25.0), r"shape \(2, 24, 32\)"),
        (VideoReader(FRAMES, float("nan")), "nan frames per second"),
        (VideoReader(FRAMES, 0.0), r"a decoder that works, got one that fails \(ValueError: 0.0 frames"),
        (VideoReader(FRAMES, 1e-9), "1e-09 frames per second"),
        (VideoReader(FRAMES[:0], 25.0), "no frames"),
    ],
)
def test_a_decoder_without_valid_frames_raises_an_error_with_its_name(decoder, message):
    with pytest.raises(MediaError, match=message) as caught:
        clips_of(decoder)
    assert caught.value.item == f"<{type(decoder).__name__}>"


@pytest.mark.parametrize(
    "item", ["a", b"a", None, 7, [1], {"a": 1}, np.zeros(3), torch.zeros(3), len, object()]
)
def test_nothing_else_is_a_decoder(item):
    assert not is_decoder(item)
