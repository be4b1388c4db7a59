"""Transforms that turn pairs into tensors with the paper's augmentation, part of which both sides share.

| pair | vision | other | other, if vision is precomputed |
|---|---|---|---|
| depth, thermal | same crop and flip as other; RandAugment, colour jitter, erasing | crop and flip | centre |
| audio | crop; 2 frames of a random 2 s | the same 2 s; a band of frequencies masked | middle; masked |
| imu | crop; 2 frames of 2 s in the middle of the window | a random 5 s window | middle |
| text | crop; of a video 2 frames of a random 2 s | | |

A precomputed embedding (e,) as a pair's vision is returned unchanged (see `frozen_vision`). It was computed
without augmentation, so shared augmentation is off for the other side too; its own augmentation stays.

All transforms build on those of inference. Without augmentation (`plain()`) images, depth, thermal and
text give the same tensors as in the Embedder; video, audio and IMU give one clip of their common middle.
"""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from imagebind.checks import check_not_negative, check_unit_interval, check_whole
from imagebind.datasets.pairs import Pair, PairSample, PairTransform
from imagebind.errors import MediaError
from imagebind.intake.requests import Request, identify, prepare
from imagebind.modality import MediaKind, ModalityType
from imagebind.training.data.colours import (
    COLOUR_JITTER,
    ERASING_PROBABILITY,
    RAND_AUGMENT_MAGNITUDE,
    RAND_AUGMENT_STD,
    colour_jitter,
    rand_augment,
    random_erasing,
)
from imagebind.training.data.crops import CROP_SCALE, Range, SharedCrop, check_scale
from imagebind.training.data.windows import (
    FREQUENCY_MASK,
    Window,
    imu_seconds,
    intersect_windows,
    mask_frequencies,
    shared_window,
    window_around,
    window_in,
)
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.text import Tokenizer
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VideoTransform

FLIP_PROBABILITY = 0.5  # Source: paper, for depth and thermal
CAPTION_CROP_SCALE = (0.9, 1.0)  # open_clip's: a smaller crop could lose objects that the caption names


def is_embedding(vision: Any) -> bool:
    """Whether a pair's vision is a precomputed embedding: a tensor (e,)."""
    return isinstance(vision, Tensor) and vision.ndim == 1


def pair_transform(modality: ModalityType | str) -> PairTransform:
    """Return the paper's augmentation for pairs of vision and a modality; for text only a crop and window.

    Raises:
        ValueError: the modality is vision, or unknown.
    """
    match ModalityType(modality):
        case ModalityType.AUDIO:
            return AlignedAudio()
        case ModalityType.IMU:
            return AlignedImu()
        case ModalityType.TEXT:
            return CaptionedVision()
        case ModalityType.DEPTH | ModalityType.THERMAL:
            return AlignedImages()
        case ModalityType.VISION:
            raise ValueError("modality: expected another modality than vision, got vision")


@dataclass(frozen=True, kw_only=True)
class AlignedImages:
    """Transforms an image and a depth or thermal image of the same view, with equal crops and flips.

    The crop is in fractions of the sides, so the two may differ in resolution. RandAugment, colour jitter and
    random erasing apply to the image only. Source: paper, which does not say what is erased.

    Args:
        scale: the range of the crop's share of the area; None is the centre square of inference.
        flip, erasing: their probabilities.
        magnitude, magnitude_std: mean and standard deviation of RandAugment's strength, out of 10; None
            as `magnitude` turns RandAugment off.
        jitter: the largest change of brightness, contrast and saturation.
        aligned: whether both share crop and flip; in the paper, SUN-D's accuracy is 11 points lower without.
        image, depth, thermal: the transforms of inference; set them for other sizes and presets.
    """

    scale: Range | None = CROP_SCALE
    flip: float = FLIP_PROBABILITY
    magnitude: float | None = RAND_AUGMENT_MAGNITUDE
    magnitude_std: float = RAND_AUGMENT_STD
    jitter: float = COLOUR_JITTER
    erasing: float = ERASING_PROBABILITY
    aligned: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    depth: DepthTransform = field(default_factory=DepthTransform)
    thermal: ThermalTransform = field(default_factory=ThermalTransform)

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_unit_interval(flip=self.flip, erasing=self.erasing)
        check_not_negative(jitter=self.jitter)
        if self.magnitude_std != math.inf:  # timm: magnitudes are uniform
            check_not_negative(magnitude_std=self.magnitude_std)
        if self.magnitude is not None:
            check_not_negative(magnitude=self.magnitude)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        other = identify(pair.other, modality=pair.modality)
        shared = self.plain() if is_embedding(pair.vision) else self
        crop = SharedCrop(rng, scale=shared.scale, flip=shared.flip)
        other_crop = crop if self.aligned else SharedCrop(rng, scale=self.scale, flip=self.flip)
        _check_media_type(other, MediaKind.DEPTH, MediaKind.THERMAL)
        base = self.depth if other.kind is MediaKind.DEPTH else self.thermal
        image = self._vision(pair, crop, rng)  # (3, size, size); first, as it sets the crop's aspect ratio
        frame = prepare(other, replace(base, crop=other_crop.crop_image)).views[0]  # (1, size, size)
        return PairSample(image, frame, pair.modality)

    def plain(self) -> "AlignedImages":
        """Return the transform without augmentation."""
        return replace(self, scale=None, flip=0, magnitude=None, jitter=0, erasing=0)

    def _vision(self, pair: Pair, crop: SharedCrop, rng: np.random.Generator) -> Tensor:
        if is_embedding(pair.vision):
            return pair.vision
        transform = replace(self.image, crop=partial(self._crop_and_colour, crop=crop, rng=rng))
        image = prepare(identify(pair.vision, modality=MediaKind.IMAGE), transform).views[0]
        return random_erasing(image, rng, probability=self.erasing)

    def _crop_and_colour(self, image: Any, size: int, *, crop: SharedCrop, rng: np.random.Generator) -> Any:
        square = crop.crop_image(image, size)
        if self.magnitude is None and not self.jitter:
            return square
        pil_image = square if isinstance(square, Image.Image) else F.to_pil_image(square.clamp(0, 1))
        if self.magnitude is not None:
            pil_image = rand_augment(pil_image, rng, magnitude=self.magnitude, std=self.magnitude_std)
        if self.jitter:
            pil_image = colour_jitter(pil_image, rng, amount=self.jitter)
        return pil_image if isinstance(square, Image.Image) else F.pil_to_tensor(pil_image) / 255


@dataclass(frozen=True, kw_only=True)
class AlignedAudio:
    """Transforms a video or an image, and audio: 2 frames and 2 s of audio from one window. Source: paper.

    Args:
        scale: the range of the crop's share of the area; None is the centre square of inference.
        mask: the largest number of masked mel bins.
        random_window: whether the window is at a random position, or in the middle.
        image, video, audio: the transforms of inference; `audio.clip_seconds` is the window's length.
    """

    scale: Range | None = CROP_SCALE
    mask: int = FREQUENCY_MASK
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    audio: AudioTransform = field(default_factory=AudioTransform)

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_whole(0, mask=self.mask)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identify_pair(pair, MediaKind.AUDIO)
        common = _common_window(pair, vision, other)
        start, end = window_in(common, self.audio.clip_seconds, _window_rng(pair, rng, self.random_window))
        crop = SharedCrop(rng, scale=self.scale)
        clip = _prepare_vision(vision, (start, end), crop, image=self.image, video=self.video)
        audio = prepare(other, self.audio, spans=[(start + pair.offset, end + pair.offset)]).views
        return PairSample(clip, mask_frequencies(audio, rng, most=self.mask), pair.modality)

    def plain(self) -> "AlignedAudio":
        """Return the transform without augmentation."""
        return replace(self, scale=None, mask=0, random_window=False)


@dataclass(frozen=True, kw_only=True)
class AlignedImu:
    """Transforms a video and IMU: a 5 s window of IMU, and 2 frames of its middle 2 s. Source: paper.

    If the IMU recording or the video is too short for that, the IMU window is moved to lie within its
    recording.

    Args:
        scale: the range of the crop's share of the area; None is the centre square of inference.
        random_window: whether the window is at a random position, or in the middle.
        image, video, imu: the transforms of inference; `imu.window_seconds` is the window's length.
    """

    scale: Range | None = CROP_SCALE
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    imu: ImuTransform = field(default_factory=ImuTransform)

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identify_pair(pair, MediaKind.IMU)
        earliest = -pair.offset  # the IMU recording starts at 0 of its own clock
        latest = earliest + imu_seconds(other, self.imu)
        common = intersect_windows(_common_window(pair, vision, other), (earliest, latest), name=pair.name)
        window_rng = _window_rng(pair, rng, self.random_window)
        if common[1] - common[0] > self.imu.window_seconds > self.video.clip_seconds:
            imu_window = window_in(common, self.imu.window_seconds, window_rng)
            frames = window_around(imu_window, self.video.clip_seconds)
        else:  # the IMU window may begin before the video and end after it
            frames = window_in(common, self.video.clip_seconds, window_rng)
        start, end = window_around(frames, self.imu.window_seconds, earliest=earliest, latest=latest)
        crop = SharedCrop(rng, scale=self.scale)
        clip = _prepare_vision(vision, frames, crop, image=self.image, video=self.video)
        span = (max(start + pair.offset, 0.0), end + pair.offset)  # rounding may give a negative start
        return PairSample(clip, prepare(other, self.imu, spans=[span]).views[0], pair.modality)

    def plain(self) -> "AlignedImu":
        """Return the transform without augmentation."""
        return replace(self, scale=None, random_window=False)


@dataclass(frozen=True, kw_only=True)
class CaptionedVision:
    """Transforms an image or video and its caption.

    Args:
        scale: the range of the crop's share of the area; None is the centre square of inference.
        random_window: whether a video's 2 s are at a random position, or in the middle.
        image, video, text: the transforms of inference.
    """

    scale: Range | None = CAPTION_CROP_SCALE
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    text: Tokenizer = field(default_factory=Tokenizer)

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identify_pair(pair, MediaKind.TEXT)
        common = _common_window(pair, vision, other)
        window = window_in(common, self.video.clip_seconds, _window_rng(pair, rng, self.random_window))
        crop = SharedCrop(rng, scale=self.scale)
        views = _prepare_vision(vision, window, crop, image=self.image, video=self.video)
        return PairSample(views, prepare(other, self.text).views[0], pair.modality)

    def plain(self) -> "CaptionedVision":
        """Return the transform without augmentation."""
        return replace(self, scale=None, random_window=False)


def _prepare_vision(
    vision: Request, window: Window, crop: SharedCrop, *, image: ImageTransform, video: VideoTransform
) -> Tensor:
    """Return an image (3, size, size), one clip (1, 3, frames, size, size), or an embedding unchanged."""
    if is_embedding(vision.payload):
        return vision.payload
    if vision.kind is MediaKind.IMAGE:
        return prepare(vision, replace(image, crop=crop.crop_image)).views[0]
    one_clip = replace(video, clips=1, crops=1, crop=crop.crop_frame)
    return prepare(vision, one_clip, spans=[window]).views


def _common_window(pair: Pair, vision: Request, other: Request) -> Window:
    """Return the window that both recordings cover; with an embedding, the pair's span if it has one."""
    if is_embedding(pair.vision) and pair.span is not None:
        return pair.span
    return shared_window(pair, vision, other)


def _window_rng(pair: Pair, rng: np.random.Generator, random_window: bool) -> np.random.Generator | None:
    """Return the generator for the window's position; None is the middle, as for embeddings."""
    return rng if random_window and not is_embedding(pair.vision) else None


def _identify_pair(pair: Pair, kind: MediaKind) -> tuple[Request, Request]:
    """Identify both items of a pair, and check the media type of the other one."""
    vision = identify(pair.vision, modality=ModalityType.VISION)
    other = identify(pair.other, modality=pair.modality)
    _check_media_type(other, kind)
    return vision, other


def _check_media_type(other: Request, *kinds: MediaKind) -> None:
    if other.kind not in kinds:
        raise MediaError(
            other.name, got=str(other.kind), expected=" or ".join(kinds), hint="see pair_transform"
        )
