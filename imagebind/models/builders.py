"""From the sizes of one trunk to its four modules. Here the configs stop; layers take plain arguments."""

from typing import NamedTuple

from torch import nn

from imagebind.config import AudioConfig, ImuConfig, PictureConfig, TextConfig, TrunkConfig, VisionConfig
from imagebind.modality import ModalityType
from imagebind.models.heads import TEXT_LOGIT_SCALE, TextHead, class_token_head, postprocessor
from imagebind.models.stems import (
    ImuPreprocessor,
    PicturePreprocessor,
    TextPreprocessor,
    VisionPreprocessor,
)
from imagebind.models.transformer import Trunk

# The inverse of the temperature that each modality was trained with; fixed. Source: released
LOGIT_SCALES = {
    ModalityType.AUDIO: 20.0,
    ModalityType.DEPTH: 5.0,
    ModalityType.THERMAL: 10.0,
    ModalityType.IMU: 5.0,
}


class Parts(NamedTuple):
    """What one modality adds to the model."""

    preprocessor: nn.Module
    trunk: nn.Module
    head: nn.Module
    postprocessor: nn.Module


def build_parts(modality: ModalityType, sizes: TrunkConfig, embed_dim: int) -> Parts:
    """Build the modules of one modality, uninitialised, with a head into `embed_dim` numbers.

    Raises:
        TypeError: the sizes are of another modality's kind.
    """
    match modality, sizes:
        case ModalityType.VISION, VisionConfig():
            return _vision(sizes, embed_dim)
        case ModalityType.TEXT, TextConfig():
            return _text(sizes, embed_dim)
        case ModalityType.AUDIO, AudioConfig():
            return _aligned(modality, _audio_stem(sizes), sizes, embed_dim)
        case ModalityType.DEPTH, PictureConfig():
            return _aligned(modality, _picture_stem(sizes, "depth", "depth_stem"), sizes, embed_dim)
        case ModalityType.THERMAL, PictureConfig():
            return _aligned(modality, _picture_stem(sizes, "thermal", "rgbt_stem"), sizes, embed_dim)
        case ModalityType.IMU, ImuConfig():
            return _aligned(modality, _imu_stem(sizes), sizes, embed_dim, head_dropout=sizes.head_dropout)
    raise TypeError(f"a {modality} trunk cannot be built from {type(sizes).__name__}")


def _vision(sizes: VisionConfig, embed_dim: int) -> Parts:
    stem = VisionPreprocessor(
        sizes.embed_dim, image_size=sizes.image_size, patch_size=sizes.patch_size, frames=sizes.frames
    )
    trunk = Trunk(
        sizes.embed_dim,
        sizes.num_blocks,
        sizes.num_heads,
        drop_path_rate=sizes.drop_path_rate,
        pre_norm=True,
        norm_eps=sizes.norm_eps,
    )
    head = class_token_head(sizes.embed_dim, embed_dim, norm_eps=sizes.norm_eps)
    return Parts(stem, trunk, head, postprocessor(None))


def _text(sizes: TextConfig, embed_dim: int) -> Parts:
    stem = TextPreprocessor(sizes.embed_dim, context_length=sizes.context_length, vocab_size=sizes.vocab_size)
    trunk = Trunk(
        sizes.embed_dim,
        sizes.num_blocks,
        sizes.num_heads,
        drop_path_rate=sizes.drop_path_rate,
        norm_eps=sizes.norm_eps,
    )
    scale = postprocessor(TEXT_LOGIT_SCALE, learnable=True)
    return Parts(stem, trunk, TextHead(sizes.embed_dim, embed_dim, norm_eps=sizes.norm_eps), scale)


def _aligned(
    modality: ModalityType,
    stem: nn.Module,
    sizes: AudioConfig | PictureConfig | ImuConfig,
    embed_dim: int,
    *,
    head_dropout: float = 0.0,
) -> Parts:
    """The four modalities that the paper trained from nothing, against images: alike but for the stem."""
    trunk = Trunk(
        sizes.embed_dim,
        sizes.num_blocks,
        sizes.num_heads,
        drop_path_rate=sizes.drop_path_rate,
        add_bias_kv=True,
    )
    head = class_token_head(sizes.embed_dim, embed_dim, dropout=head_dropout)
    return Parts(stem, trunk, head, postprocessor(LOGIT_SCALES[modality]))


def _audio_stem(sizes: AudioConfig) -> nn.Module:
    return PicturePreprocessor(
        sizes.embed_dim,
        name="audio",
        picture_size=(sizes.mel_bins, sizes.mel_frames),
        patch_size=sizes.patch_size,
        stride=sizes.stride,
        stem_name="rgbt_stem",
    )


def _picture_stem(sizes: PictureConfig, name: str, stem_name: str) -> nn.Module:
    return PicturePreprocessor(
        sizes.embed_dim,
        name=name,
        picture_size=(sizes.image_size, sizes.image_size),
        patch_size=sizes.patch_size,
        stride=sizes.patch_size,
        stem_name=stem_name,
    )


def _imu_stem(sizes: ImuConfig) -> nn.Module:
    return ImuPreprocessor(sizes.embed_dim, channels=sizes.channels, steps=sizes.steps, window=sizes.window)
