"""The original's loaders by name: what they gave, on its own files, and what they refuse."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import data
from imagebind.errors import MediaError
from imagebind.transforms.audio import AUDIO_MEAN, AUDIO_STD

FILES = Path(__file__).parent / "data" / "preprocessing"
TEXTS = json.loads((FILES / "text_expected.json").read_text())
AUDIO = np.load(FILES / "audio_expected_sub.npz")
VISION = np.load(FILES / "vision_expected_every4th.npz")
VIDEO = np.load(FILES / "video_expected_every16th.npz")
LOADERS = [getattr(data, name) for name in dir(data) if name.startswith("load_and_transform_")]

# ---- parity


def test_texts_are_tokenised_as_the_original_did():
    tokens = data.load_and_transform_text([case["text"] for case in TEXTS], "cpu")
    assert tokens.shape == (104, 77)
    for row, case in zip(tokens.tolist(), TEXTS, strict=True):
        assert row[: len(case["tokens"])] == case["tokens"]


def test_pictures_are_loaded_as_the_original_did():
    batch = data.load_and_transform_vision_data([str(FILES / name) for name in VISION.files], "cpu")
    assert batch.shape == (len(VISION.files), 3, 224, 224)
    expected = np.stack([VISION[name].reshape(3, 56, 56) for name in VISION.files])
    assert np.abs(batch[:, :, ::4, ::4].numpy() - expected).max() < 1e-3


def test_sound_is_loaded_as_the_original_did_stereo_by_its_first_channel():
    batch = data.load_and_transform_audio_data([FILES / name for name in AUDIO.files], torch.device("cpu"))
    assert batch.shape == (5, 3, 1, 128, 204)
    expected = np.stack([AUDIO[name] for name in AUDIO.files])
    assert np.abs(batch[:, :, 0, ::2, ::3].numpy() - expected).max() < 2e-3


def test_videos_are_loaded_as_the_original_did():
    batch = data.load_and_transform_video_data([FILES / name for name in VIDEO.files], "cpu")
    assert batch.shape == (2, 15, 3, 2, 224, 224)
    expected = np.stack([VIDEO[name].reshape(15, 3, 2, 14, 14) for name in VIDEO.files])
    assert np.abs(batch[..., ::16, ::16].numpy() - expected).max() < 2e-2


# ---- the choices that are the original's and not ours


def test_a_picture_is_not_turned_by_its_orientation(tmp_path):
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:112] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    batch = data.load_and_transform_vision_data([path], "cpu")
    assert (batch[0, :, :112] > 0).all() and (batch[0, :, 112:] < 0).all()


# ---- the loaders' own arguments


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
def test_nothing_gives_nothing(loader):
    assert loader(None, "cpu") is None


def test_one_string_is_one_text():
    assert data.load_and_transform_text("a dog", "cpu").shape == (1, 77)


def test_the_original_audio_loaders_options_are_heeded():
    paths = [FILES / "mono_16k_7s.wav"]
    batch = data.load_and_transform_audio_data(
        paths, "cpu", num_mel_bins=64, target_length=100, clip_duration=1, clips_per_video=2, sample_rate=8000
    )
    assert batch.shape == (1, 2, 1, 64, 100)
    raw = data.load_and_transform_audio_data(paths, "cpu", mean=0.0, std=1.0)
    usual = data.load_and_transform_audio_data(paths, "cpu")
    assert torch.allclose((raw - AUDIO_MEAN) / AUDIO_STD, usual, atol=1e-6)


def test_fewer_clips_of_a_video_give_fewer_views():
    paths = [FILES / "tall_240x320_30fps_4s.mp4"]
    batch = data.load_and_transform_video_data(paths, "cpu", clips_per_video=2, sample_rate=16000)
    assert batch.shape == (1, 6, 3, 2, 224, 224)


@pytest.mark.parametrize(("seconds", "frames"), [(1, 1), (1.0, 1), (3, 3), (2.5, 2), (0.5, 1)])
def test_a_clip_of_a_video_has_a_frame_for_each_whole_second(seconds, frames):
    paths = [FILES / "tall_240x320_30fps_4s.mp4"]
    batch = data.load_and_transform_video_data(paths, "cpu", clip_duration=seconds, clips_per_video=1)
    assert batch.shape == (1, 3, 3, frames, 224, 224)


def test_depth_thermal_and_motion_are_loaded_into_their_trunks_shapes(tmp_path):
    millimetres = np.full((240, 320), 2000, np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "depth.png")
    depth = data.load_and_transform_depth_data([tmp_path / "depth.png"] * 2, "cpu", preset="raw")
    assert depth.shape == (2, 1, 224, 224)

    Image.fromarray(np.full((240, 320), 51, np.uint8)).save(tmp_path / "thermal.png")
    thermal = data.load_and_transform_thermal_data([tmp_path / "thermal.png"], "cpu")
    assert thermal.shape == (1, 1, 224, 224)
    assert torch.allclose(thermal, torch.tensor(0.2))

    lines = ["timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"]
    lines += [f"{step / 200},0,9.81,0,0.1,0,0" for step in range(1200)]
    (tmp_path / "imu.csv").write_text("\n".join(lines))
    imu = data.load_and_transform_imu_data([tmp_path / "imu.csv"], "cpu")
    assert imu.shape == (1, 6, 2000)


# ---- its pieces


def test_mel_spectrograms_are_not_normalised_and_leave_the_waveform_alone():
    waveform = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0)) + 0.5
    before = waveform.clone()
    mel = data.waveform2melspec(waveform, 16_000, 128, 204)
    assert mel.shape == (1, 128, 204)
    assert not mel[..., 198:].any()  # zeros, where normalised padding would be 0.467
    assert torch.equal(waveform, before)
    assert data.waveform2melspec(waveform, 16_000, 64, 100).shape == (1, 64, 100)


@pytest.mark.parametrize("shape", [(32_000,), (0, 32_000), (1, 399)])
def test_what_is_no_waveform_is_refused(shape):
    with pytest.raises(ValueError, match="wants"):
        data.waveform2melspec(torch.zeros(shape), 16_000, 128, 204)


@pytest.mark.parametrize("kind", ["tuple", "object"])
def test_clip_timepoints_are_what_the_sampler_draws_until_its_last(kind):
    asked = []

    def sampler(last_end, duration, annotation):
        asked.append((last_end, duration, annotation))
        start = len(asked) - 1
        if kind == "tuple":
            return (start, start + 2, start, 0, start == 2)
        return SimpleNamespace(clip_start_sec=start, clip_end_sec=start + 2, is_last_clip=start == 2)

    assert data.get_clip_timepoints(sampler, 4.0) == [(0, 2), (1, 3), (2, 4)]
    assert asked == [(0.0, 4.0, None), (2, 4.0, None), (3, 4.0, None)]


# ---- faults


def test_a_bad_item_is_named():
    with pytest.raises(MediaError, match=r"gone\.wav"):
        data.load_and_transform_audio_data([FILES / "mono_16k_7s.wav", "gone.wav"], "cpu")


@pytest.mark.parametrize("paths", ["one.wav", Path("one.wav"), b"RIFF", []], ids=repr)
def test_anything_but_a_list_of_paths_is_refused(paths):
    with pytest.raises(ValueError, match="list of at least one path"):
        data.load_and_transform_audio_data(paths, "cpu")


def test_a_misspelt_option_fails():
    misspelt: dict = {"clip_count": 3}
    with pytest.raises(TypeError, match="clip_count"):
        data.load_and_transform_audio_data([], "cpu", **misspelt)
