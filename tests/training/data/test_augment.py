"""Pair transforms: shared augmentation, and without augmentation the same tensors as inference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imagebind.datasets.pairs import Pair, PairDataset, PairSample
from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from imagebind.training.data.augment import (
    AlignedAudio,
    AlignedImages,
    AlignedImu,
    CaptionedVision,
    pair_transform,
)
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.text import Tokenizer
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VideoTransform
from tests.media.motion import GRAVITY
from tests.training.made import ramp, write_audio, write_image, write_imu, write_video

SIZE = 32
IMAGE = ImageTransform(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))  # values stay in [0, 1]
VIDEO = VideoTransform(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
POSITIONS = AlignedImages(  # crop and flip only, on images whose colours state the position
    magnitude=None,
    jitter=0,
    erasing=0,
    image=IMAGE,
    depth=DepthTransform(size=SIZE, preset="raw", focal=1.0, baseline=1.0),
    thermal=ThermalTransform(size=SIZE),
)
VIDEO_RATE, VIDEO_SECONDS = 10, 6


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    rises = np.linspace(0, 1, 160)[None].repeat(120, axis=0)  # to the right, like red in the image
    return {
        "image": write_image(folder / "image.png", ramp(240, 320)),
        "depth": write_image(folder / "depth.png", (1000 / (0.2 + rises)).astype(np.uint16)),
        "thermal": write_image(folder / "thermal.png", (rises * 255).round().astype(np.uint8)),
        "video": write_video(folder / "video.mp4", seconds=VIDEO_SECONDS, rate=VIDEO_RATE),
        "long_video": write_video(folder / "long.mp4", seconds=9, rate=5),
        "audio": write_audio(folder / "audio.wav"),
        "imu": write_imu(folder / "imu.csv", seconds=20),
    }


def draws(transform, pair: Pair, count: int) -> list:
    return [transform(pair, np.random.default_rng(seed)) for seed in range(count)]


def pair_of(files, vision: str, other: str, modality: str, **options) -> Pair:
    item = {modality: files[other]} if other in files else other
    return Pair(vision=files[vision], other=item, modality=modality, name="pair", **options)


def frame_times(clip: torch.Tensor, rate: int) -> list[float]:
    """Return the times of the two frames of a clip, in seconds, from their gray levels."""
    assert clip.shape[:3] == (1, 3, 2)
    return [round(clip[0, :, frame].mean().item() * 255 / 4) / rate for frame in (0, 1)]


@pytest.mark.parametrize("modality", ["depth", "thermal"])
def test_both_images_show_the_same_position_at_every_pixel(files, modality):
    for sample in draws(POSITIONS, pair_of(files, "image", modality, modality), 30):
        red, other = sample.vision[0], sample.other[0]
        if modality == "depth":  # disparity is 1 / metres here: 0.2 to 1.2
            other = other - 0.2
        assert (red - other).abs().max() < 0.02  # one of 160 pixels is 0.006


def test_unaligned_images_show_different_positions(files):
    apart = 0
    for sample in draws(replace(POSITIONS, aligned=False), pair_of(files, "image", "thermal", "thermal"), 30):
        apart += (sample.vision[0] - sample.other[0]).abs().max().item() > 0.05
    assert apart > 25


def test_colours_change_on_the_image_only(files):
    pair = pair_of(files, "image", "thermal", "thermal")
    full = AlignedImages(image=IMAGE, thermal=ThermalTransform(size=SIZE))
    changed = 0
    for sample, bare in zip(draws(full, pair, 20), draws(POSITIONS, pair, 20), strict=True):
        assert torch.equal(sample.other, bare.other)
        changed += not torch.equal(sample.vision, bare.vision)
    assert changed == 20


def test_erasing_applies_to_the_image_only(files):
    pair = pair_of(files, "image", "thermal", "thermal")
    for sample, bare in zip(
        draws(replace(POSITIONS, erasing=1.0), pair, 10), draws(POSITIONS, pair, 10), strict=True
    ):
        erased = (sample.vision == 0).all(dim=0)
        assert 0.01 < erased.double().mean() < 0.4
        assert torch.equal(sample.vision[:, ~erased], bare.vision[:, ~erased])
        assert torch.equal(sample.other, bare.other)


def test_float_arrays_and_files_are_augmented_equally(files):
    pixels = ramp(240, 320)
    transform = replace(POSITIONS, jitter=0.4)
    file = pair_of(files, "image", "thermal", "thermal")
    array = replace(file, vision={"image": pixels.astype(np.float32) / 255})
    for one, other in zip(draws(transform, file, 5), draws(transform, array, 5), strict=True):
        assert (one.vision - other.vision).abs().max() < 0.03  # rounded to 8 bits before or after the jitter


@pytest.mark.parametrize("preset", ["omnivore", "codebind", "raw"])
def test_without_augmentation_depth_equals_that_of_inference(files, preset):
    depth = DepthTransform(preset=preset)
    item = {"depth": files["depth"], "sensor": "realsense", "focal": 600.0}
    pair = Pair(vision=files["image"], other=item, modality="depth", name="pair")
    sample = AlignedImages(depth=depth).plain()(pair, np.random.default_rng(0))
    assert torch.equal(sample.vision, ImageTransform()(files["image"]))
    assert torch.equal(sample.other, replace(depth, sensor="realsense", focal=600.0)(files["depth"]))


def test_augmented_depth_is_disparity_before_it_is_resized(files):
    """The crop is a whole frame of two depths: at the edge, disparities are mixed, not metres."""
    metres = np.full((60, 60), 1.0, np.float32)
    metres[:, 30:] = 4.0
    transform = replace(POSITIONS, scale=(0.999, 1.0), flip=0, depth=replace(POSITIONS.depth, size=15))
    pair = Pair(vision=np.zeros((60, 60, 3), np.uint8), other={"depth": metres}, modality="depth", name="p")
    disparity = transform(pair, np.random.default_rng(0)).other[0]
    assert disparity[:, :6].mean() == pytest.approx(1.0, abs=0.01)
    assert disparity[:, 9:].mean() == pytest.approx(0.25, abs=0.01)
    assert disparity.mean() == pytest.approx(0.625, abs=0.03)  # of mixed metres it would be less at the edge


def test_without_augmentation_other_modalities_equal_those_of_inference(files):
    rng = np.random.default_rng(0)
    thermal = AlignedImages().plain()(pair_of(files, "image", "thermal", "thermal"), rng)
    assert torch.equal(thermal.vision, ImageTransform()(files["image"]))
    assert torch.equal(thermal.other, ThermalTransform()(files["thermal"]))
    middle = VideoTransform(clips=1, crops=1)
    audio = AlignedAudio().plain()(pair_of(files, "video", "audio", "audio"), rng)
    assert torch.equal(audio.vision, middle.with_spans(files["video"], [(2, 4)])[0])
    assert torch.equal(audio.other, AudioTransform().with_spans(files["audio"], [(2, 4)])[0])
    imu = AlignedImu().plain()(pair_of(files, "video", "imu", "imu"), rng)
    assert torch.equal(imu.vision, middle.with_spans(files["video"], [(2, 4)])[0])
    assert torch.equal(imu.other, ImuTransform(start=0.5)(files["imu"]))
    text = CaptionedVision().plain()(pair_of(files, "image", "a ramp", "text"), rng)
    assert torch.equal(text.vision, ImageTransform()(files["image"]))
    assert torch.equal(text.other, Tokenizer()("a ramp")[0])


def test_frames_and_audio_are_from_the_same_two_seconds(files):
    transform = AlignedAudio(video=VIDEO, mask=0)
    starts = []
    for sample in draws(transform, pair_of(files, "video", "audio", "audio"), 12):
        first, last = frame_times(sample.vision, VIDEO_RATE)
        assert last - first == pytest.approx(1.9)
        # The audio is found in the file by its content: the nearest span has the time of the frames.
        grid = np.arange(0, 4.05, 0.1)
        clips = AudioTransform().with_spans(files["audio"], [(start, start + 2) for start in grid])[0]
        nearest = grid[(clips - sample.other).abs().mean(dim=(1, 2, 3)).argmin()]
        assert nearest == pytest.approx(first, abs=0.11)
        starts.append(first)
    assert max(starts) - min(starts) > 1.5


def test_an_offset_shifts_audio_against_frames(files):
    pair = pair_of(files, "video", "audio", "audio", span=(1, 3), offset=2)
    sample = AlignedAudio(video=VIDEO, mask=0)(pair, np.random.default_rng(0))
    assert frame_times(sample.vision, VIDEO_RATE) == [1.0, 2.9]
    assert torch.equal(sample.other, AudioTransform().with_spans(files["audio"], [(3, 5)])[0])


def test_frames_and_audio_are_within_the_span(files):
    pair = pair_of(files, "video", "audio", "audio", span=(3, 6))
    for sample in draws(AlignedAudio(video=VIDEO), pair, 10):
        assert min(frame_times(sample.vision, VIDEO_RATE)) >= 3


def test_audio_is_masked_and_an_image_may_replace_a_video(files):
    pair = pair_of(files, "image", "audio", "audio")
    masked = 0
    for sample in draws(AlignedAudio(image=IMAGE), pair, 10):
        assert sample.vision.shape == (3, SIZE, SIZE) and sample.other.shape == (1, 1, 128, 204)
        masked += (sample.other[0, 0] == 0).all(dim=1).any().item()
    assert masked >= 6


def test_imu_is_a_window_around_the_frames(files):
    transform = AlignedImu(video=VIDEO)
    starts = []
    for sample in draws(transform, pair_of(files, "long_video", "imu", "imu", offset=1.25), 12):
        first, last = frame_times(sample.vision, 5)
        begin, end = sample.other[3, [0, -1]].double() * 3600  # gyro_x is the table's time in hours
        assert end - begin == pytest.approx(5, abs=0.02)
        assert (begin + end) / 2 - 1.25 == pytest.approx((first + last) / 2, abs=0.25)
        starts.append(float(begin))
    assert max(starts) - min(starts) > 1.5 and min(starts) >= 1.25 and max(starts) <= 5.25


def test_the_imu_window_reaches_beyond_a_shorter_video(files):
    pair = pair_of(files, "video", "imu", "imu", span=(3, 5), offset=2)
    sample = AlignedImu(video=VIDEO)(pair, np.random.default_rng(0))
    assert frame_times(sample.vision, VIDEO_RATE) == [3.0, 4.9]
    assert sample.other[3, 0].item() * 3600 == pytest.approx(3.5, abs=0.01)  # 3 + 2 - 1.5
    early = AlignedImu(video=VIDEO)(replace(pair, span=(0, 2), offset=0), np.random.default_rng(0))
    assert early.other[3, 0].item() == 0, "a window cannot begin before the first sample"
    later = AlignedImu(video=VIDEO)(replace(pair, span=(0, 2), offset=2), np.random.default_rng(0))
    assert later.other[3, 0].item() * 3600 == pytest.approx(0.5, abs=0.01), "the offset leaves room for it"


@pytest.mark.parametrize(
    ("video_seconds", "imu_seconds"), [(5, 5), (4.9, 5), (6, 6), (6, 5.5), (60, 55), (3, 5), (8, 4.6)]
)
def test_the_imu_window_is_inside_its_recording_whether_video_or_imu_is_longer(video_seconds, imu_seconds):
    clock = np.arange(round(imu_seconds * 100)) / 100
    imu = np.tile([0, 0, GRAVITY, 0, 0, 0], (len(clock), 1))
    imu[:, 3] = clock / 3600
    frames = np.zeros((round(video_seconds * 10), 4, 4, 3), np.uint8)
    item = {"imu": imu, "timestamps": clock}
    pair = Pair(vision={"video": frames, "fps": 10}, other=item, modality="imu", name="clip")
    data = PairDataset([pair], AlignedImu())
    begins = []
    for turn in range(40):
        sample = data.sample(0, turn=turn)
        assert isinstance(sample, PairSample), sample.error
        begin, end = sample.other[3, [0, -1]].double() * 3600
        assert end - begin == pytest.approx(min(imu_seconds, 5), abs=0.02)
        begins.append(begin.item())
    room = max(min(video_seconds, imu_seconds) - 5, 0)
    assert min(begins) >= 0 and max(begins) <= max(imu_seconds - 5, 0) + 0.02
    assert max(begins) - min(begins) >= 0.5 * room


def test_captions_go_with_images_and_with_videos_whose_frames_have_the_same_crop(files):
    transform = CaptionedVision(image=IMAGE, video=VIDEO)
    still = transform(pair_of(files, "image", "a ramp", "text"), np.random.default_rng(0))
    assert still.vision.shape == (3, SIZE, SIZE) and still.other.shape == (77,)
    frames = np.stack([ramp(48, 64)] * 40)
    pair = Pair(vision=(frames, 10), other="a ramp that rests", modality="text", name="clip")
    clips = [sample.vision for sample in draws(replace(transform, scale=(0.1, 0.5)), pair, 5)]
    for clip in clips:
        assert clip.shape == (1, 3, 2, SIZE, SIZE)
        assert torch.equal(clip[:, :, 0], clip[:, :, 1]), "one crop for both frames"
    assert not torch.equal(clips[0], clips[1])


@pytest.mark.parametrize("modality", [m for m in ModalityType if m is not ModalityType.VISION])
def test_every_modality_is_augmented_and_the_same_rng_gives_the_same_pair(files, modality):
    other = "a ramp" if modality is ModalityType.TEXT else modality.value
    vision = "video" if modality in ("audio", "imu") else "image"
    pair, transform = pair_of(files, vision, other, modality.value), pair_transform(modality)
    one, two = (transform(pair, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(one.vision, two.vision) and torch.equal(one.other, two.other)
    assert one.modality is modality
    third = transform(pair, np.random.default_rng(2))
    assert not torch.equal(one.vision, third.vision)


@pytest.mark.parametrize("modality", [m for m in ModalityType if m is not ModalityType.VISION])
def test_an_embedding_is_unchanged_and_shared_augmentation_is_off(files, modality):
    other = "a ramp" if modality is ModalityType.TEXT else modality.value
    pair = replace(pair_of(files, "video", other, modality.value, span=(1, 5)), vision=torch.ones(16))
    transform = pair_transform(modality)
    still = replace(pair, vision=files["image"])
    plain = transform.plain()(still, np.random.default_rng(0))
    if modality is ModalityType.AUDIO:
        transform = replace(transform, mask=0)
    for sample in draws(transform, pair, 3):
        assert torch.equal(sample.vision, torch.ones(16)) and torch.equal(sample.other, plain.other)


def test_augmentation_of_only_the_other_item_stays_on_beside_an_embedding(files):
    audio = replace(pair_of(files, "video", "audio", "audio"), vision=torch.ones(16))
    masked = [
        (sample.other[0, 0] == 0).all(dim=1).sum().item() for sample in draws(AlignedAudio(), audio, 10)
    ]
    assert len(set(masked)) > 2
    thermal = replace(pair_of(files, "image", "thermal", "thermal"), vision=torch.ones(16))
    first, second = (sample.other for sample in draws(replace(POSITIONS, aligned=False), thermal, 2))
    assert not torch.equal(first, second), "the crop is random, since the images are not aligned"


def test_a_pair_of_another_modality_is_refused_by_name(files):
    with pytest.raises(MediaError, match="expected depth or thermal"):
        AlignedImages()(pair_of(files, "video", "audio", "audio"), np.random.default_rng(0))
    with pytest.raises(MediaError, match="expected audio"):
        AlignedAudio()(pair_of(files, "image", "a ramp", "text"), np.random.default_rng(0))
    with pytest.raises(ValueError, match="another modality than vision"):
        pair_transform("vision")
