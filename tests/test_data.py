"""The original's loaders: parity on its own files, arguments, and errors."""

import gzip
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import data
from imagebind.errors import MediaError, MissingExtraError, collect_warnings, warn_of
from imagebind.transforms.audio import AUDIO_MEAN, AUDIO_STD

FILES = Path(__file__).parent / "data" / "preprocessing"
TEXTS = json.loads((FILES / "text_expected.json").read_text())
AUDIO = np.load(FILES / "audio_expected_sub.npz")
VISION = np.load(FILES / "vision_expected_every4th.npz")
VIDEO = np.load(FILES / "video_expected_every16th.npz")
LOADERS = [getattr(data, name) for name in dir(data) if name.startswith("load_and_transform_")]
FILE_LOADERS = [loader for loader in LOADERS if loader is not data.load_and_transform_text]

# ---- parity


def test_texts_are_tokenised_as_by_the_original():
    tokens = data.load_and_transform_text([case["text"] for case in TEXTS], "cpu")
    assert tokens.shape == (104, 77)
    for row, case in zip(tokens.tolist(), TEXTS, strict=True):
        assert row[: len(case["tokens"])] == case["tokens"]


def test_images_are_loaded_as_by_the_original():
    batch = data.load_and_transform_vision_data([str(FILES / name) for name in VISION.files], "cpu")
    assert batch.shape == (len(VISION.files), 3, 224, 224)
    expected = np.stack([VISION[name].reshape(3, 56, 56) for name in VISION.files])
    assert np.abs(batch[:, :, ::4, ::4].numpy() - expected).max() < 1e-3


def test_audio_is_loaded_as_by_the_original_and_stereo_by_its_first_channel():
    batch = data.load_and_transform_audio_data([FILES / name for name in AUDIO.files], torch.device("cpu"))
    assert batch.shape == (5, 3, 1, 128, 204)
    expected = np.stack([AUDIO[name] for name in AUDIO.files])
    assert np.abs(batch[:, :, 0, ::2, ::3].numpy() - expected).max() < 2e-3


def test_videos_are_loaded_as_by_the_original():
    batch = data.load_and_transform_video_data([FILES / name for name in VIDEO.files], "cpu")
    assert batch.shape == (2, 15, 3, 2, 224, 224)
    expected = np.stack([VIDEO[name].reshape(15, 3, 2, 14, 14) for name in VIDEO.files])
    assert np.abs(batch[..., ::16, ::16].numpy() - expected).max() < 2e-2


# ---- choices of the original that are not ours


def test_the_exif_orientation_of_an_image_is_not_applied(tmp_path):
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
def test_a_loader_returns_none_for_none(loader):
    assert loader(None, "cpu") is None


def test_one_string_is_one_text():
    assert data.load_and_transform_text("a dog", "cpu").shape == (1, 77)


def test_the_options_of_the_original_audio_loader_are_applied():
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


@pytest.mark.parametrize(("seconds", "frames"), [(1, 1), (1.0, 1), (4, 4), (2.5, 2), (0.5, 1)])
def test_a_clip_of_a_video_has_a_frame_for_each_whole_second(seconds, frames):
    paths = [FILES / "tall_240x320_30fps_4s.mp4"]
    batch = data.load_and_transform_video_data(paths, "cpu", clip_duration=seconds, clips_per_video=1)
    assert batch.shape == (1, 3, 3, frames, 224, 224)


def test_depth_thermal_and_imu_are_loaded_in_the_shapes_of_their_trunks(tmp_path):
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


SIGNATURES = {
    "load_and_transform_vision_data": ["image_paths", "device"],
    "load_and_transform_text": ["text", "device"],
    "load_and_transform_audio_data": [
        *("audio_paths", "device", ("num_mel_bins", 128), ("target_length", 204), ("sample_rate", 16000)),
        *(("clip_duration", 2), ("clips_per_video", 3), ("mean", -4.268), ("std", 9.138)),
    ],
    "load_and_transform_video_data": [
        *("video_paths", "device", ("clip_duration", 2), ("clips_per_video", 5), ("sample_rate", 16000)),
    ],
    "waveform2melspec": ["waveform", "sample_rate", "num_mel_bins", "target_length"],
    "get_clip_timepoints": ["clip_sampler", "duration"],
    "SpatialCrop": [("crop_size", 224), ("num_crops", 3)],
    "NormalizeVideo": ["mean", "std", ("inplace", False)],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_equal_those_of_the_original_and_arguments_can_be_positional(name):
    parameters = inspect.signature(getattr(data, name)).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    given = [p.name if p.default is p.empty else (p.name, p.default) for p in parameters]
    assert given == SIGNATURES[name]


def test_texts_and_paths_may_be_any_iterable():
    pd = pytest.importorskip("pandas")
    texts, paths = ["a dog", "a car"], [str(FILES / "mono_16k_7s.wav")] * 2
    tokens = data.load_and_transform_text(texts, "cpu")
    audio = data.load_and_transform_audio_data(paths, "cpu")
    for wrap in (tuple, iter, np.array, pd.Series, dict.fromkeys, lambda items: (item for item in items)):
        assert torch.equal(data.load_and_transform_text(wrap(texts), "cpu"), tokens)
        loaded = data.load_and_transform_audio_data(wrap(paths), "cpu")
        assert torch.equal(loaded, audio[: len(loaded)])
    with pytest.raises(ValueError, match="expected an iterable, got 7"):
        data.load_and_transform_text(7, "cpu")


# ---- other functions and classes


def test_names_that_the_original_imports_exist():
    names: dict = {}
    exec("from imagebind.data import *", names)
    assert data.DEFAULT_AUDIO_FRAME_SHIFT_MS == 10
    assert data.BPE_PATH == names["BPE_PATH"] == data.return_bpe_path()
    assert Path(data.BPE_PATH).name == "bpe_simple_vocab_16e6.txt.gz" and Path(data.BPE_PATH).is_file()
    assert callable(data.transforms.Compose) and callable(names["load_and_transform_text"])
    with pytest.raises(AttributeError, match="load_and_transform_smell"):
        _ = data.load_and_transform_smell  # type: ignore[attr-defined]


def test_pytorchvideo_is_only_needed_at_use(monkeypatch):
    for name in ("pytorchvideo", "pytorchvideo.data.encoded_video", "pytorchvideo.transforms"):
        monkeypatch.setitem(sys.modules, name, None)
    for use in (
        lambda: data.EncodedVideo.from_path("a.mp4"),
        lambda: data.EncodedVideo(b""),
        lambda: data.pv_transforms.ShortSideScale(224),
    ):
        with pytest.raises(MissingExtraError, match="pytorchvideo"):
            use()
    assert not hasattr(data.pv_transforms, "__wrapped__")  # tools look up such names on every module


def test_pytorchvideo_is_used_if_it_is_installed(monkeypatch):
    video, scales = ModuleType("pytorchvideo.data.encoded_video"), ModuleType("pytorchvideo.transforms")
    opened = SimpleNamespace(from_path=lambda path, **options: (path, options))
    video.EncodedVideo = opened  # type: ignore[attr-defined]
    scales.ShortSideScale = int  # type: ignore[attr-defined]
    for module in (ModuleType("pytorchvideo"), ModuleType("pytorchvideo.data"), video, scales):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    decoded = data.EncodedVideo.from_path("a.mp4", decoder="decord", decode_audio=False)
    assert decoded == ("a.mp4", {"decoder": "decord", "decode_audio": False})
    assert data.pv_transforms.ShortSideScale is int


def test_clips_of_a_sampler_are_spread_evenly():
    sampler = data.ConstantClipsPerVideoSampler(clip_duration=2, clips_per_video=3)
    for _ in range(2):  # after the last clip, the first follows
        assert data.get_clip_timepoints(sampler, 10.0) == [(0, 2), (4, 6), (8, 10)]
    first = sampler(None, 10.0, annotation=None)
    assert (first.clip_start_sec, first.clip_index, first.aug_index, first.is_last_clip) == (0, 0, 0, False)
    sampler.reset()
    assert sampler(None, 1.0, annotation=None)[:2] == (0, 2)
    assert len(data.get_clip_timepoints(data.ConstantClipsPerVideoSampler(2, 1), 10.0)) == 1


def test_crops_of_a_video_are_start_centre_and_end_of_its_longer_side():
    wide = torch.arange(9.0).expand(3, 2, 4, 9)  # the value of each pixel is its column
    tall = wide.transpose(2, 3)
    crops = data.SpatialCrop(crop_size=4, num_crops=3)([wide, tall])
    assert [tuple(crop.shape) for crop in crops] == [(3, 2, 4, 4)] * 6
    assert [crop[0, 0, 0, 0].item() for crop in crops] == [0, 3, 5, 0, 3, 5]
    assert torch.equal(crops[3], tall[:, :, :4])
    (centre,) = data.SpatialCrop(4, 1)([wide])
    assert torch.equal(centre, crops[1])
    assert len(data.SpatialCrop()([torch.zeros(3, 2, 224, 300)])) == 3
    with pytest.raises(ValueError, match="num_crops: expected 1 or 3, got 2"):
        data.SpatialCrop(num_crops=2)
    with pytest.raises(TypeError, match="expected a list of videos"):
        data.SpatialCrop()(wide)


def test_frames_are_subsampled_evenly_with_the_first_and_the_last():
    clip = torch.arange(7).reshape(1, 7, 1, 1).expand(3, 7, 2, 2)
    assert data.UniformTemporalSubsample(3)(clip)[0, :, 0, 0].tolist() == [0, 3, 6]
    assert data.UniformTemporalSubsample(2, temporal_dim=1)(clip[:, :1])[0, :, 0, 0].tolist() == [0, 0]


def test_boxes_move_with_their_crop():
    frames = torch.arange(9.0).expand(2, 4, 9)
    boxes = np.array([[5, 0, 9, 4]])
    cropped, moved = data.uniform_crop(frames, 4, 2, boxes=boxes)
    assert cropped.shape == (2, 4, 4) and moved.tolist() == [[0, 0, 4, 4]] and boxes[0, 0] == 5
    assert data.crop_boxes(torch.tensor([[5, 1, 9, 4]]), 5, 1).tolist() == [[0, 0, 4, 3]]
    scaled, none = data.uniform_crop(frames[None], 8, 0, scale_size=8)
    assert scaled.shape == (1, 2, 8, 8) and none is None
    with pytest.raises(ValueError, match="at least 8 x 8, got 4 x 9"):
        data.uniform_crop(frames, 8, 0)
    with pytest.raises(ValueError, match="spatial_idx: expected 0, 1 or 2, got 3"):
        data.uniform_crop(frames, 4, 3)


def test_a_video_is_normalised_by_channel_and_in_place_if_requested():
    clip = torch.ones(3, 2, 4, 4)
    normalize = data.NormalizeVideo(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    assert normalize(clip).mean(dim=(1, 2, 3)).tolist() == [1, 1, 0] and clip.min() == 1
    data.NormalizeVideo((0.0, 0.5, 1.0), (1.0, 0.5, 2.0), inplace=True)(clip)
    assert clip[2].max() == 0


def test_the_simple_tokenizer_equals_that_of_clip(tmp_path):
    tokenizer = data.SimpleTokenizer(bpe_path=data.return_bpe_path())
    one = tokenizer("a dog.")
    assert one.shape == (77,) and one[:5].tolist() == [49406, 320, 1929, 269, 49407]
    assert tokenizer(["a dog.", "a car"]).shape == (2, 77)
    assert torch.equal(tokenizer(["a dog.", "a car"])[0], one)
    assert data.SimpleTokenizer(data.BPE_PATH, context_length=10)("a dog.").shape == (10,)
    assert tokenizer.context_length == 77 and len(tokenizer.encoder) == len(tokenizer.decoder) == 49408
    assert (
        tokenizer.encode("a dog.")
        == [320, 1929, 269]
        == [tokenizer.encoder[piece] for piece in ("a</w>", "dog</w>", ".</w>")]
    )
    assert tokenizer.decode(tokenizer.encode("a dog.")) == "a dog . "
    assert tokenizer.bpe("dog") == "dog</w>" and tokenizer.bpe("barkingest").split() == [
        tokenizer.decoder[token] for token in tokenizer.encode("barkingest")
    ]
    with pytest.raises(FileNotFoundError):
        data.SimpleTokenizer(tmp_path / "gone.txt.gz")
    (tmp_path / "other.txt.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(ValueError, match="expected CLIP's vocabulary"):
        data.SimpleTokenizer(tmp_path / "other.txt.gz")


def test_the_error_for_a_damaged_vocabulary_names_the_file(tmp_path):
    whole = Path(data.BPE_PATH).read_bytes()
    for content in (whole[:5], whole[:10_000], whole[:5000] + bytes(5000) + whole[10_000:], b"no gzip"):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.gz: expected CLIP's vocabulary, .* got a damaged file"):
            data.SimpleTokenizer(tmp_path / "a.gz")


def test_mel_spectrograms_of_float64_equal_those_of_float32():
    waveform = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    double = data.waveform2melspec(waveform.double(), 16_000, 128, 204)
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), data.waveform2melspec(waveform, 16_000, 128, 204), atol=1e-3)


def test_mel_spectrograms_are_not_normalised_and_do_not_modify_the_waveform():
    waveform = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0)) + 0.5
    before = waveform.clone()
    mel = data.waveform2melspec(waveform, 16_000, 128, 204)
    assert mel.shape == (1, 128, 204)
    assert not mel[..., 198:].any()  # zeros, where normalised padding would be 0.467
    assert torch.equal(waveform, before)
    assert data.waveform2melspec(waveform, 16_000, 64, 100).shape == (1, 64, 100)


@pytest.mark.parametrize("shape", [(32_000,), (0, 32_000), (1, 399)])
def test_items_that_are_no_waveform_are_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        data.waveform2melspec(torch.zeros(shape), 16_000, 128, 204)


@pytest.mark.parametrize("kind", ["tuple", "object"])
def test_clip_timepoints_are_those_of_the_sampler_until_its_last_clip(kind):
    calls = []

    def sampler(last_end, duration, annotation):
        calls.append((last_end, duration, annotation))
        start = len(calls) - 1
        if kind == "tuple":
            return (start, start + 2, start, 0, start == 2)
        return SimpleNamespace(clip_start_sec=start, clip_end_sec=start + 2, is_last_clip=start == 2)

    assert data.get_clip_timepoints(sampler, 4.0) == [(0, 2), (1, 3), (2, 4)]
    assert calls == [(0.0, 4.0, None), (2, 4.0, None), (3, 4.0, None)]


# ---- errors


@pytest.mark.parametrize("loader", FILE_LOADERS, ids=lambda loader: loader.__name__)
def test_a_missing_file_is_a_file_not_found_error(loader):
    with pytest.raises(FileNotFoundError) as caught:
        loader(["gone.bin"], "cpu")
    assert isinstance(caught.value, MediaError) and isinstance(caught.value, ValueError)
    assert caught.value.filename == "gone.bin" and str(caught.value).startswith("gone.bin: no such file")


def test_the_error_for_a_damaged_file_is_an_os_error(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(OSError, match="not an image") as caught:
        data.load_and_transform_vision_data([broken], "cpu")
    assert isinstance(caught.value, MediaError)
    with pytest.raises(OSError, match=r"cannot be opened|directory"):
        data.load_and_transform_vision_data([tmp_path], "cpu")
    for loader in (data.load_and_transform_audio_data, data.load_and_transform_video_data):
        with pytest.raises(ValueError, match=r"broken\.jpg"):
            loader([broken], "cpu")


def test_the_error_for_a_missing_file_among_others_names_it():
    with pytest.raises(MediaError, match=r"gone\.wav"):
        data.load_and_transform_audio_data([FILES / "mono_16k_7s.wav", "gone.wav"], "cpu")


@pytest.mark.parametrize("paths", ["one.wav", Path("one.wav"), b"RIFF", []], ids=repr)
def test_anything_except_a_list_of_paths_is_refused(paths):
    with pytest.raises(ValueError, match="list of at least one path"):
        data.load_and_transform_audio_data(paths, "cpu")


def test_a_misspelt_option_is_an_error():
    misspelt: dict = {"clip_count": 3}
    with pytest.raises(TypeError, match="clip_count"):
        data.load_and_transform_audio_data([], "cpu", **misspelt)


def test_many_files_are_loaded_in_order_and_an_error_names_the_first_damaged_one(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for number, file in enumerate(files):
        Image.new("RGB", (60, 40), (number * 20, 0, 0)).save(file)
    together = data.load_and_transform_vision_data(files, "cpu")
    alone = [data.load_and_transform_vision_data([file], "cpu") for file in files]
    assert torch.equal(together, torch.cat(alone))
    files[4].write_bytes(b"junk")
    files[9].write_bytes(b"junk")
    with pytest.raises(MediaError, match=r"4\.png"):
        data.load_and_transform_vision_data(files, "cpu")


def test_warnings_about_many_files_are_collected_where_the_caller_collects_them():
    def transform(path):
        warn_of(path, f"{path} is odd")
        return torch.zeros(1)

    with collect_warnings() as messages:
        data._load(transform, ["a", "b", "c"], "cpu")
    assert sorted(messages) == ["a is odd", "b is odd", "c is odd"]
