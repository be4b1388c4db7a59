"""Build the four modules of a modality from its config. The layers themselves take plain arguments."""

from typing import NamedTuple

from torch import nn

from imagebind.config import (
    AudioConfig,
    ImuConfig,
    MultiChannelConfig,
    OneChannelConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
)
from imagebind.modality import BoundModality, ModalityType
from imagebind.models.heads import TEXT_LOGIT_SCALE, TextHead, class_token_head, postprocessor
from imagebind.models.stems import (
    ImuPreprocessor,
    PatchPreprocessor,
    TextPreprocessor,
    VisionPreprocessor,
)
from imagebind.models.transformer import Trunk

# Fixed logit scales (1 / temperature); vision has none, and that of text is learned. Source: released
LOGIT_SCALES = {
    ModalityType.AUDIO: 20.0,
    ModalityType.DEPTH: 5.0,
    ModalityType.THERMAL: 10.0,
    ModalityType.IMU: 5.0,
}


class ModalityModules(NamedTuple):
    """The four modules of one modality."""

    stem: nn.Module
    trunk: nn.Module
    head: nn.Module
    postprocessor: nn.Module


def build_modality(modality: ModalityType, sizes: TrunkConfig, embed_dim: int) -> ModalityModules:
    """Build the uninitialised modules of one modality; its head projects to `embed_dim` numbers.

    Raises:
        TypeError: the sizes are the config of another modality.
    """
    match modality, sizes:
        case ModalityType.VISION, VisionConfig():
            return _build_vision(sizes, embed_dim)
        case ModalityType.TEXT, TextConfig():
            return _build_text(sizes, embed_dim)
        case ModalityType.AUDIO, AudioConfig():
            return _build_image_aligned(modality, _audio_stem(sizes), sizes, embed_dim)
        case ModalityType.DEPTH, OneChannelConfig():
            return _build_image_aligned(modality, _image_stem(sizes, "depth", "depth_stem"), sizes, embed_dim)
        case ModalityType.THERMAL, OneChannelConfig():
            return _build_image_aligned(
                modality, _image_stem(sizes, "thermal", "rgbt_stem"), sizes, embed_dim
            )
        case ModalityType.IMU, ImuConfig():
            return _build_image_aligned(
                modality, _imu_stem(sizes), sizes, embed_dim, head_dropout=sizes.head_dropout
            )
    raise TypeError(f"{modality} trunk: expected this modality's config, got {type(sizes).__name__}")


def build_bound(
    name: BoundModality,
    sizes: AudioConfig | OneChannelConfig | MultiChannelConfig | ImuConfig,
    embed_dim: int,
    *,
    logit_scale: float,
) -> ModalityModules:
    """Build the uninitialised modules of a modality that a user binds; the class of `sizes` decides its stem.

    Raises:
        TypeError: `sizes` is of another class.
    """
    match sizes:
        case OneChannelConfig() | MultiChannelConfig():
            stem = _image_stem(sizes, name, f"{name}_stem")
        case AudioConfig():
            stem = _audio_stem(sizes, name)
        case ImuConfig():
            stem = _imu_stem(sizes)
        case _:
            raise TypeError(
                f"{name}: expected OneChannelConfig, MultiChannelConfig, AudioConfig or ImuConfig, "
                f"got {type(sizes).__name__}"
            )
    dropout = sizes.head_dropout if isinstance(sizes, ImuConfig) else 0.0
    return _build_image_aligned(name, stem, sizes, embed_dim, head_dropout=dropout, logit_scale=logit_scale)


def _build_vision(sizes: VisionConfig, embed_dim: int) -> ModalityModules:
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
    return ModalityModules(stem, trunk, head, postprocessor(None))


def _build_text(sizes: TextConfig, embed_dim: int) -> ModalityModules:
    stem = TextPreprocessor(sizes.embed_dim, context_length=sizes.context_length, vocab_size=sizes.vocab_size)
    trunk = Trunk(
        sizes.embed_dim,
        sizes.num_blocks,
        sizes.num_heads,
        drop_path_rate=sizes.drop_path_rate,
        norm_eps=sizes.norm_eps,
    )
    scale = postprocessor(TEXT_LOGIT_SCALE, learnable=True)
    return ModalityModules(stem, trunk, TextHead(sizes.embed_dim, embed_dim, norm_eps=sizes.norm_eps), scale)


def _build_image_aligned(
    modality: ModalityType | BoundModality,
    stem: nn.Module,
    sizes: AudioConfig | OneChannelConfig | MultiChannelConfig | ImuConfig,
    embed_dim: int,
    *,
    head_dropout: float = 0.0,
    logit_scale: float | None = None,
) -> ModalityModules:
    """Build a modality that is trained from scratch against images: four of the paper, or one of a user."""
    trunk = Trunk(
        sizes.embed_dim,
        sizes.num_blocks,
        sizes.num_heads,
        drop_path_rate=sizes.drop_path_rate,
        add_bias_kv=True,
    )
    head = class_token_head(sizes.embed_dim, embed_dim, dropout=head_dropout)
    scale = LOGIT_SCALES[ModalityType(modality)] if logit_scale is None else logit_scale
    return ModalityModules(stem, trunk, head, postprocessor(scale))


def _audio_stem(sizes: AudioConfig, name: str = "audio") -> nn.Module:
    return PatchPreprocessor(
        sizes.embed_dim,
        name=name,
        image_size=(sizes.mel_bins, sizes.mel_frames),
        patch_size=sizes.patch_size,
        stride=sizes.stride,
        stem_name="rgbt_stem",
    )


def _image_stem(sizes: OneChannelConfig | MultiChannelConfig, name: str, stem_name: str) -> nn.Module:
    return PatchPreprocessor(
        sizes.embed_dim,
        name=name,
        image_size=(sizes.image_size, sizes.image_size),
        patch_size=sizes.patch_size,
        stride=sizes.patch_size,
        stem_name=stem_name,
        channels=sizes.channels if isinstance(sizes, MultiChannelConfig) else 1,
    )


def _imu_stem(sizes: ImuConfig) -> nn.Module:
    return ImuPreprocessor(sizes.embed_dim, channels=sizes.channels, steps=sizes.steps, window=sizes.window)
