"""Pairs to tensors as the paper trains on them: what is random in a pair, and what both its sides share.

| pair | vision | other | other, beside vision that was embedded before |
|---|---|---|---|
| depth, thermal | crop and flip as the other; RandAugment, colour jitter, erasing | crop and flip | centre |
| audio | crop; 2 frames of a random 2 s | the same 2 s; a band of frequencies masked | middle; masked |
| imu | crop; 2 frames of 2 s amid the window | a random 5 s window | middle |
| text | crop; of a video 2 frames of a random 2 s | | |

An embedding (e,) in the place of a pair's vision is returned as it is (see `frozen_vision`). It was made
without augmentation, so what both sides share is without chance too; what is the other's alone stays.

All is done by the transforms that inference uses, so that with augmentation off (`plain()`) a pair comes out
as the Embedder would see it, a video as one clip of its middle.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from imagebind.datasets.pairs import Pair, PairSample, PairTransform
from imagebind.errors import MediaError
from imagebind.intake.requests import Request, identify, prepare
from imagebind.modality import MediaKind, ModalityType
from imagebind.training.data.colours import (
    ERASING,
    JITTER,
    MAGNITUDE,
    MAGNITUDE_STD,
    colour_jitter,
    rand_augment,
    random_erasing,
)
from imagebind.training.data.crops import CROP_SCALE, Cut, Range
from imagebind.training.data.windows import (
    FREQUENCY_MASK,
    Window,
    around,
    in_both,
    mask_frequencies,
    motion_seconds,
    shared_stretch,
    window_in,
)
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.text import Tokenizer
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VideoTransform

FLIP = 0.5  # paper, for depth and thermal
CAPTION_CROP_SCALE = (0.9, 1.0)  # open_clip's: a smaller crop would lose what the caption names


def is_embedding(vision: Any) -> bool:
    """Whether a pair's vision was embedded before: a tensor (e,)."""
    return isinstance(vision, Tensor) and vision.ndim == 1


def pair_transform(modality: ModalityType | str) -> PairTransform:
    """The paper's augmentation for pairs with a modality."""
    match ModalityType(modality):
        case ModalityType.AUDIO:
            return AlignedSound()
        case ModalityType.IMU:
            return AlignedMotion()
        case ModalityType.TEXT:
            return CaptionedVision()
        case ModalityType.DEPTH | ModalityType.THERMAL:
            return AlignedPictures()
        case ModalityType.VISION:
            raise ValueError("a pair is of vision and another modality, got vision twice")


@dataclass(frozen=True, kw_only=True)
class AlignedPictures:
    """A picture and the depth or heat of the same view, cropped and flipped alike. Source: paper.

    The crop is one in fractions of the sides, so that the two may differ in resolution. RandAugment, colour
    jitter and random erasing change the picture alone; that erasing does is ours, the paper doesn't say.

    Args:
        scale: of the crop's area; None is the centre square of inference.
        flip, erasing: how probable they are.
        magnitude: of RandAugment, of 10; None is none.
        jitter: of brightness, contrast and saturation.
        aligned: whether both share crop and flip; the paper's ablation does without and loses 11 points.
        image, depth, thermal: what inference uses, for other sizes and presets.
    """

    scale: Range | None = CROP_SCALE
    flip: float = FLIP
    magnitude: float | None = MAGNITUDE
    magnitude_std: float = MAGNITUDE_STD
    jitter: float = JITTER
    erasing: float = ERASING
    aligned: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    depth: DepthTransform = field(default_factory=DepthTransform)
    thermal: ThermalTransform = field(default_factory=ThermalTransform)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        other = identify(pair.other, modality=pair.modality)
        shared = self.plain() if is_embedding(pair.vision) else self
        cut = Cut(rng, scale=shared.scale, flip=shared.flip)
        other_cut = cut if self.aligned else Cut(rng, scale=self.scale, flip=self.flip)
        base = self.depth if _wanted(other, MediaKind.DEPTH, MediaKind.THERMAL) else self.thermal
        picture = self._picture(pair, cut, rng)  # (3, size, size); first, for it says the crop's shape
        frame = prepare(other, replace(base, crop=other_cut.picture)).views[0]  # (1, size, size)
        return PairSample(picture, frame, pair.modality)

    def plain(self) -> "AlignedPictures":
        """The same without augmentation."""
        return replace(self, scale=None, flip=0, magnitude=None, jitter=0, erasing=0)

    def _picture(self, pair: Pair, cut: Cut, rng: np.random.Generator) -> Tensor:
        if is_embedding(pair.vision):
            return pair.vision
        image = replace(self.image, crop=partial(self._cut_and_colour, cut=cut, rng=rng))
        picture = prepare(identify(pair.vision, modality=MediaKind.IMAGE), image).views[0]
        return random_erasing(picture, rng, probability=self.erasing)

    def _cut_and_colour(self, picture: Any, size: int, *, cut: Cut, rng: np.random.Generator) -> Any:
        square = cut.picture(picture, size)
        if self.magnitude is None and not self.jitter:
            return square
        eight = square if isinstance(square, Image.Image) else F.to_pil_image(square.clamp(0, 1))
        if self.magnitude is not None:
            eight = rand_augment(eight, rng, magnitude=self.magnitude, std=self.magnitude_std)
        if self.jitter:
            eight = colour_jitter(eight, rng, amount=self.jitter)
        return eight if isinstance(square, Image.Image) else F.pil_to_tensor(eight) / 255


@dataclass(frozen=True, kw_only=True)
class AlignedSound:
    """A video, or a still, and 2 s of sound: 2 frames are of the same random 2 s. Source: paper.

    Args:
        scale: of the crop's area; None is the centre square of inference.
        mask: mel bins that are masked at most.
        random_window: whether the 2 s lie anywhere, or in the middle.
        image, video, audio: what inference uses; `audio.clip_seconds` is the window's length.
    """

    scale: Range | None = CROP_SCALE
    mask: int = FREQUENCY_MASK
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    audio: AudioTransform = field(default_factory=AudioTransform)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identified(pair, MediaKind.AUDIO)
        stretch = _stretch(pair, vision, other)
        start, end = window_in(stretch, self.audio.clip_seconds, _chance(pair, rng, self.random_window))
        seen = _see(vision, (start, end), Cut(rng, scale=self.scale), image=self.image, video=self.video)
        sound = prepare(other, self.audio, spans=[(start + pair.offset, end + pair.offset)]).views
        return PairSample(seen, mask_frequencies(sound, rng, most=self.mask), pair.modality)

    def plain(self) -> "AlignedSound":
        """The same without augmentation."""
        return replace(self, scale=None, mask=0, random_window=False)


@dataclass(frozen=True, kw_only=True)
class AlignedMotion:
    """A video and a window of motion, 5 s, in whose middle the 2 s of the 2 frames lie. Source: paper.

    Where motion or video is too short for that, the window is moved to lie within the motion.

    Args:
        scale: of the crop's area; None is the centre square of inference.
        random_window: whether the window lies anywhere, or in the middle.
        image, video, imu: what inference uses; `imu.window_seconds` is the window's length.
    """

    scale: Range | None = CROP_SCALE
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    imu: ImuTransform = field(default_factory=ImuTransform)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identified(pair, MediaKind.IMU)
        earliest = -pair.offset  # motion starts at 0 of its own clock
        latest = earliest + motion_seconds(other, self.imu)
        stretch = in_both(_stretch(pair, vision, other), (earliest, latest), name=pair.name)
        chance = _chance(pair, rng, self.random_window)
        if stretch[1] - stretch[0] > self.imu.window_seconds > self.video.clip_seconds:
            frames = around(window_in(stretch, self.imu.window_seconds, chance), self.video.clip_seconds)
        else:  # the motion may begin before the video and end after it
            frames = window_in(stretch, self.video.clip_seconds, chance)
        start, end = around(frames, self.imu.window_seconds, earliest=earliest, latest=latest)
        seen = _see(vision, frames, Cut(rng, scale=self.scale), image=self.image, video=self.video)
        span = (max(start + pair.offset, 0.0), end + pair.offset)  # a rounding error below 0 is 0
        return PairSample(seen, prepare(other, self.imu, spans=[span]).views[0], pair.modality)

    def plain(self) -> "AlignedMotion":
        """The same without augmentation."""
        return replace(self, scale=None, random_window=False)


@dataclass(frozen=True, kw_only=True)
class CaptionedVision:
    """A picture or video and its caption.

    Args:
        scale: of the crop's area; None is the centre square of inference.
        random_window: whether a video's 2 s lie anywhere, or in the middle.
        image, video, text: what inference uses.
    """

    scale: Range | None = CAPTION_CROP_SCALE
    random_window: bool = True
    image: ImageTransform = field(default_factory=ImageTransform)
    video: VideoTransform = field(default_factory=VideoTransform)
    text: Tokenizer = field(default_factory=Tokenizer)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> PairSample:
        vision, other = _identified(pair, MediaKind.TEXT)
        stretch = _stretch(pair, vision, other)
        window = window_in(stretch, self.video.clip_seconds, _chance(pair, rng, self.random_window))
        seen = _see(vision, window, Cut(rng, scale=self.scale), image=self.image, video=self.video)
        return PairSample(seen, prepare(other, self.text).views[0], pair.modality)

    def plain(self) -> "CaptionedVision":
        """The same without augmentation."""
        return replace(self, scale=None, random_window=False)


def _see(
    vision: Request, window: Window, cut: Cut, *, image: ImageTransform, video: VideoTransform
) -> Tensor:
    """A still as (3, size, size); of a video one clip, its frames cut alike, (1, 3, frames, size, size); an
    embedding as it is."""
    if is_embedding(vision.payload):
        return vision.payload
    if vision.kind is MediaKind.IMAGE:
        return prepare(vision, replace(image, crop=cut.picture)).views[0]
    one_clip = replace(video, clips=1, crops=1, crop=cut.frame)
    return prepare(vision, one_clip, spans=[window]).views


def _stretch(pair: Pair, vision: Request, other: Request) -> Window:
    """What both recordings share: an embedding has lost its recording, but the span beside it says it."""
    if is_embedding(pair.vision) and pair.span is not None:
        return pair.span
    return shared_stretch(pair, vision, other)


def _chance(pair: Pair, rng: np.random.Generator, random_window: bool) -> np.random.Generator | None:
    """What draws the window, if anything does: an embedding was made from the middle."""
    return rng if random_window and not is_embedding(pair.vision) else None


def _identified(pair: Pair, kind: MediaKind) -> tuple[Request, Request]:
    """Both items of a pair whose other one has to be of a kind."""
    vision = identify(pair.vision, modality=ModalityType.VISION)
    other = identify(pair.other, modality=pair.modality)
    _wanted(other, kind)
    return vision, other


def _wanted(other: Request, first: MediaKind, *more: MediaKind) -> bool:
    """Whether an item is of the first kind.

    Raises:
        MediaError: it is of none of these.
    """
    if other.kind not in (first, *more):
        kinds = " or ".join((first, *more))
        raise MediaError(other.name, got=f"a {other.kind} item", expected=f"{kinds}; see pair_transform")
    return other.kind is first
