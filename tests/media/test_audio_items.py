"""Audio in the form of any library gives the same clips."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from imagebind.errors import MediaError
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.modality import MediaKind
from imagebind.transforms.audio import AudioTransform, open_audio
from tests.media.decoded import AudioDecoder, AudioSamples, DatasetsAudioDecoder

RATE = 16000
TONE = (np.sin(np.arange(3 * RATE) / 8) * 0.3).astype(np.float32)
INTEGERS = np.round(TONE * 32767).astype(np.int16)
STEREO = np.stack([TONE, TONE * 0.5])
CLIPS = AudioTransform()((TONE, RATE))


def clips_of(item, modality=None):
    request = identify(item, modality=modality)
    assert request.kind is MediaKind.AUDIO
    return prepare(request, default_transform(request.kind)).views


@pytest.mark.parametrize(
    "pair",
    [
        (torch.from_numpy(TONE)[None], RATE),  # torchaudio.load
        (TONE, RATE),  # librosa.load
        (TONE[:, None], RATE),  # soundfile.read(always_2d=True)
        (RATE, TONE),  # scipy.io.wavfile.read
        (np.int64(RATE), TONE[:, None]),
        (float(RATE), TONE.tolist()),
        (torch.tensor(RATE), torch.from_numpy(TONE)),  # from a DataLoader
        [RATE, TONE],
        (
            np.zeros((0, 2, 2, 3), np.uint8),
            torch.from_numpy(TONE)[None],
            {"video_fps": 25.0, "audio_fps": RATE},
        ),
    ],
    ids=lambda pair: " ".join(type(part).__name__ for part in pair),
)
def test_a_pair_is_accepted_in_either_order(pair):
    assert torch.equal(AudioTransform()(pair), CLIPS)
    assert torch.equal(clips_of(pair, "audio"), CLIPS)
    assert torch.equal(clips_of({"audio": pair}), CLIPS)


@pytest.mark.parametrize("integers", [INTEGERS, INTEGERS.astype(np.int32) * 65536, INTEGERS[:, None]])
def test_integers_are_scaled_by_their_type_in_either_order(integers):
    for pair in ((RATE, integers), (integers, RATE)):
        assert torch.equal(AudioTransform()(pair), AudioTransform()((INTEGERS / np.float32(32768), RATE)))


@pytest.mark.parametrize(
    "row",
    [
        {"array": TONE, "sampling_rate": RATE, "path": None},
        {"array": TONE.astype(np.float64), "sampling_rate": RATE, "path": "tones/1.flac"},
        {"path": "1.flac", "array": TONE.tolist(), "sampling_rate": RATE, "bytes": None},
        {"raw": TONE, "sampling_rate": RATE},
        {"waveform": torch.from_numpy(TONE)[None], "sample_rate": RATE},
    ],
    ids=lambda row: " ".join(row),
)
def test_a_decoded_row_of_a_data_set_is_audio(row):
    for item, modality in ((row, None), (row, "audio"), ({"audio": row}, None), ({"audio": row}, "audio")):
        assert torch.equal(clips_of(item, modality), CLIPS)
    assert torch.equal(AudioTransform()(row), CLIPS)


def test_a_row_is_named_by_its_path():
    row = {"array": TONE, "sampling_rate": RATE, "path": "tones/1.flac"}
    assert identify(row).name == identify({"audio": row}).name == "tones/1.flac"


def test_options_may_be_beside_a_row_or_within_it():
    row = {"array": STEREO, "sampling_rate": RATE}
    right = clips_of({"audio": (STEREO[1], RATE)})
    assert torch.equal(clips_of({"audio": row, "channel": 1}), right)
    assert torch.equal(clips_of({**row, "channel": 1}), right)
    with pytest.raises(MediaError, match=r"expected options of audio \(rate, clips.*\), got label"):
        clips_of({**row, "label": 3})


@pytest.mark.parametrize("modality", [None, "audio"])
def test_an_undecoded_row_is_read_from_its_bytes_or_path(audio_file, modality):
    expected = AudioTransform()(audio_file)
    content = audio_file.read_bytes()
    for row in (
        {"bytes": content, "path": "x.wav"},
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(audio_file)},
        {"path": str(audio_file)},
    ):
        assert torch.equal(clips_of(row, modality), expected)
        assert torch.equal(clips_of({"audio": row}, modality), expected)
    assert identify({"bytes": content, "path": "x.wav"}).name == "x.wav"


def test_the_path_of_a_row_may_be_a_uri(audio_file, memory):
    memory.pipe("/sounds/x.wav", audio_file.read_bytes())
    row = {"path": "memory://sounds/x.wav"}
    assert torch.equal(clips_of(row), AudioTransform()(audio_file))
    assert torch.equal(AudioTransform()(row), AudioTransform()(audio_file))
    assert identify(row).name == "memory://sounds/x.wav"


@pytest.mark.parametrize("row", [{"path": 7}, {"bytes": None, "path": ["x.wav"]}])
def test_a_path_of_another_type_is_refused(row):
    with pytest.raises(MediaError, match=f"got {type(row['path']).__name__}"):
        clips_of({"audio": row})


@pytest.mark.parametrize("name", ["rate", "sampling_rate", "sample_rate"])
def test_the_rate_may_have_the_names_that_libraries_use(name):
    assert torch.equal(clips_of({"audio": TONE, name: RATE}), CLIPS)
    imu, transform = np.full((2000, 6), 5.0), default_transform(MediaKind.IMU)
    expected = prepare(identify((imu, 400), modality="imu"), transform)
    assert torch.equal(prepare(identify({"imu": imu, name: 400}), transform).views, expected.views)


def test_sample_rate_sets_the_output_rate_if_the_input_rate_is_known(audio_file):
    slow = AudioTransform(sample_rate=8000)
    assert torch.equal(clips_of({"audio": TONE, "rate": RATE, "sample_rate": 8000}), slow((TONE, RATE)))
    assert torch.equal(clips_of({"audio": (RATE, TONE), "sample_rate": 8000}), slow((TONE, RATE)))
    assert torch.equal(clips_of({"audio": audio_file, "sample_rate": 8000}), slow(audio_file))


@pytest.mark.parametrize("beside", [{"rate": 8000}, {"sampling_rate": 8000}])
def test_a_rate_beside_audio_that_states_its_own_is_refused(audio_file, beside):
    row = {"array": TONE, "sampling_rate": RATE}
    decoder = AudioDecoder(torch.from_numpy(STEREO), RATE)
    for audio in (audio_file, audio_file.read_bytes(), (TONE, RATE), (RATE, TONE), row, decoder):
        with pytest.raises(MediaError, match="a rate of 8000 beside audio that states its own"):
            clips_of({"audio": audio, **beside})


def test_channels_may_be_a_tuple_of_arrays():
    assert torch.equal(clips_of({"audio": (TONE, TONE), "rate": RATE}), CLIPS)


@pytest.mark.parametrize("decoder", [AudioDecoder, DatasetsAudioDecoder])
def test_a_decoder_gives_all_its_channels(decoder):
    stereo = torch.from_numpy(STEREO)
    expected = AudioTransform()((STEREO, RATE))
    samples = AudioSamples(stereo, 0.0, 3.0, RATE)
    for item in (decoder(stereo, RATE), samples):
        for form, modality in ((item, None), (item, "audio"), ({"audio": item}, None)):
            assert torch.equal(clips_of(form, modality), expected)
        assert torch.equal(clips_of({"audio": item, "channel": 1}), AudioTransform()((STEREO[1], RATE)))


def test_a_decoder_that_fails_or_is_too_long_raises_an_error_with_its_name():
    broken = AudioDecoder(torch.from_numpy(STEREO), RATE)
    broken.get_all_samples = lambda: 1 / 0
    with pytest.raises(
        MediaError,
        match=r"<AudioDecoder>: expected a decoder that works, got one that fails \(ZeroDivisionError",
    ):
        clips_of({"audio": broken})
    endless = AudioDecoder(torch.from_numpy(STEREO), RATE)
    endless.metadata.duration_seconds = 1e6
    with pytest.raises(MediaError, match=r"<AudioDecoder>: expected at most .* got 1,000,000\.0 s"):
        clips_of(endless)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (TONE, r"shape \(48000,\) without a rate.*'rate': hz.*\[\(array, rate\)\]"),
        (RATE, r"expected a file or \(array, rate\), got int; .*array, rate"),
        ((1, 2), r"a sampling rate .* got 2\.0 Hz"),
        ({"array": TONE}, "got dict; to encode, "),
        ((TONE, None), "None"),
        (None, "got NoneType; to encode, "),
        ({"bytes": TONE}, r"shape \(48000,\) without a rate"),
        ({"bytes": b""}, "an empty file"),
        ([TONE], "got list; to encode, "),
    ],
)
def test_an_unknown_form_is_refused_with_the_accepted_forms(item, message):
    with pytest.raises(MediaError, match=message), open_audio(item):
        pass


def test_a_row_with_bytes_and_a_path_can_be_read_twice(audio_file):
    request = identify({"bytes": audio_file.read_bytes(), "path": "odd name.raw"})
    assert isinstance(request.payload, io.BytesIO) and request.name == "odd name.raw"
    transform = default_transform(request.kind)
    assert torch.equal(prepare(request, transform).views, prepare(request, transform).views)
    assert identify({"bytes": None, "path": "a.wav"}, modality="audio").payload == Path("a.wav")
