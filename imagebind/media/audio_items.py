"""The forms in which callers pass audio, reduced to a source, a decoder or a pair (samples, rate).

| form | from |
|---|---|
| (samples, rate) | torchaudio.load, librosa.load, soundfile.read |
| (rate, samples) | scipy.io.wavfile.read, gradio.Audio |
| {"array": samples, "sampling_rate": rate, "path": …} | datasets.Audio, decoded; "raw" in Transformers |
| {"waveform": samples, "sample_rate": rate} | pyannote |
| {"bytes": …, "path": …} | datasets.Audio and .Image, not decoded |
| AudioSamples, AudioDecoder | torchcodec, and datasets from version 4 on |
| (frames, samples, info) | torchvision.io.read_video |
"""

import io
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.io.source import Limits, encodable, is_source, name_of
from imagebind.io.store_path import as_path
from imagebind.media.decoders import (
    decode_audio,
    is_audio_decoder,
    is_audio_samples,
    is_decoder,
    part_of_triple,
)

SAMPLES_NAMES = ("array", "raw", "waveform")
RATE_NAMES = ("sampling_rate", "sample_rate")


def read_item(audio: Any, *, limits: Limits) -> Any:
    """Return a source, or a pair (samples, rate) in this order, from any of the forms above.

    Raises:
        MediaError: an unknown form, a decoder that fails or states more than `limits.max_seconds`, or a rate
            beside audio that states its own.
    """
    unpacked = unpack_audio(audio)
    if is_audio_decoder(unpacked):
        return decode_audio(unpacked, limits=limits)
    if is_source(unpacked) or is_pair(unpacked):
        return unpacked
    is_array = isinstance(unpacked, (np.ndarray, Tensor))
    raise MediaError(
        name_of(audio),
        got=f"an array of shape {tuple(unpacked.shape)} without a rate" if is_array else type(audio).__name__,
        expected="a file or (array, rate)",
        hint="to encode, pass {'audio': array, 'rate': hz} or [(array, rate)]",
    )


def unpack_audio(audio: Any) -> Any:
    """Return a source, a decoder or a pair (samples, rate); anything else unchanged. Decodes nothing.

    Raises:
        MediaError: a rate beside audio that states its own.
    """
    if isinstance(audio, Mapping):
        samples, rate = samples_name(audio), rate_name(audio)
        if samples and rate:
            audio = (audio[samples], audio[rate])
        elif (source := stored_source(audio)) is not None:
            audio = source
    elif is_audio_samples(audio):
        audio = (audio.data, audio.sample_rate)
    audio = part_of_triple(audio, video=False)
    if not is_pair(audio):
        return audio
    samples, rate = audio
    if _is_number(samples) and _has_length(rate):
        samples, rate = rate, samples
    if states_rate(samples):
        raise MediaError(
            name_of(samples[0] if isinstance(samples, tuple) else samples),
            got=f"a rate of {rate!r:.40} beside audio that states its own",
            expected="the audio without a rate",
        )
    return samples, rate


def states_rate(audio: Any) -> bool:
    """Whether audio is a pair with a rate, a file, a decoder or a mapping, in contrast to bare samples."""
    if is_pair(audio) and any(map(_is_number, audio)):
        return True
    return is_source(audio) or is_decoder(audio) or isinstance(audio, Mapping)


def samples_name(row: Mapping[str, Any]) -> str | None:
    """Return the key of a row's samples, or None."""
    return next((name for name in SAMPLES_NAMES if row.get(name) is not None), None)


def rate_name(row: Mapping[str, Any]) -> str | None:
    """Return the key of a row's sampling rate, or None."""
    return next((name for name in RATE_NAMES if row.get(name) is not None), None)


def stored_source(row: Mapping[str, Any]) -> Any:
    """Return the file of a row {"bytes": …, "path": …}, of any modality; None for other keys or no file.

    As in `datasets`, bytes are preferred to the path, which is then only their name.
    """
    if set(row) - {"bytes", "path"}:
        return None
    content, path = row.get("bytes"), row.get("path")
    if content is None:
        return as_path(path) if isinstance(path, (str, os.PathLike)) else path
    if path is None or not isinstance(content, (bytes, bytearray, memoryview)):
        return content
    file = io.BytesIO(content)
    file.name = encodable(str(path))
    return file


def is_pair(item: object) -> bool:
    """Whether an item has the form of a pair (samples, rate), in either order."""
    if not isinstance(item, Sequence) or isinstance(item, (str, bytes, bytearray, memoryview)):
        return False
    return len(item) == 2 and (_is_number(item[0]) or not isinstance(item[1], Sequence))


def _is_number(value: object) -> bool:
    if isinstance(value, (np.ndarray, Tensor)):
        return value.ndim == 0
    return isinstance(value, (Real, np.number)) and not isinstance(value, bool)


def _has_length(value: object) -> bool:
    if isinstance(value, (np.ndarray, Tensor)):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
