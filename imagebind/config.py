"""Model sizes as frozen dataclasses. Layers take plain arguments, not these configs.

Each trunk has its own config, and an `ImageBindConfig` combines the trunks of a model. `huge_config()` and
`tiny_config()` return the configs of the named models.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from imagebind.modality import ModalityType

MODEL_TYPE = "imagebind"

# Bounds of sizes that are read from files, far above those of real models. Source: ours
MAX_SIZE = 2**20
MAX_BLOCKS = 256  # the released model has up to 32
# Upper bound of a learned 1 / temperature. Source: released; CLIP (arXiv 2103.00020, §2.5)
MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The trunk of square images and videos of `frames` frames; an image is repeated in each frame."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    image_size: int = 224
    patch_size: int = 14
    frames: int = 2
    drop_path_rate: float = 0.0
    norm_eps: float = 1e-6  # 1e-5 in a tower of open_clip


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The causal trunk of text token ids."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    context_length: int = 77
    vocab_size: int = 49408
    drop_path_rate: float = 0.0
    norm_eps: float = 1e-6  # 1e-5 in a tower of open_clip


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """The trunk of mel spectrograms; patches overlap if the stride is smaller than the patch size."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    mel_bins: int = 128
    mel_frames: int = 204
    patch_size: int = 16
    stride: int = 10
    drop_path_rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class OneChannelConfig:
    """A trunk of square one-channel images: disparity (depth) or thermal."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    image_size: int = 224
    patch_size: int = 16
    drop_path_rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MultiChannelConfig:
    """A trunk of square images of several channels, such as those of a multispectral camera; for packs."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    channels: int
    image_size: int = 224
    patch_size: int = 16
    drop_path_rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ImuConfig:
    """The trunk of IMU recordings: clips of `steps` accelerometer and gyroscope samples."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    channels: int = 6
    steps: int = 2000
    seconds: float = 5.0  # duration of all steps
    window: int = 8  # steps per token
    drop_path_rate: float = 0.7
    head_dropout: float = 0.5


TrunkConfig = VisionConfig | TextConfig | AudioConfig | OneChannelConfig | ImuConfig


@dataclass(frozen=True, kw_only=True)
class _ModelSizes:
    embed_dim: int = 1024
    vision: VisionConfig | None = None
    text: TextConfig | None = None
    audio: AudioConfig | None = None
    depth: OneChannelConfig | None = None
    thermal: OneChannelConfig | None = None
    imu: ImuConfig | None = None

    def __post_init__(self) -> None:
        for name, config_type in _TRUNK_CONFIGS.items():
            if isinstance(sizes := getattr(self, name), Mapping):  # as read from JSON
                object.__setattr__(self, name, config_type(**sizes))


class ImageBindConfig(_ModelSizes):
    """The sizes of a model: embedding dimension and one trunk per modality; None means no such trunk.

    The sizes are frozen. Other attributes may be set, since transformers' Trainer sets `use_cache`: a frozen
    dataclass protects all attributes, but its plain subclass only the fields.
    """

    @property
    def modalities(self) -> tuple[ModalityType, ...]:
        """The modalities that have a trunk, in the order of the fields."""
        return tuple(ModalityType(field) for field in _TRUNK_CONFIGS if getattr(self, field) is not None)

    def trunk(self, modality: ModalityType) -> TrunkConfig:
        """Return the config of one trunk.

        Raises:
            KeyError: this config has no trunk for the modality.
            ValueError: an unknown modality.
        """
        config = getattr(self, ModalityType(modality).value)
        if config is None:
            raise KeyError(f"trunk: expected one of {', '.join(self.modalities)}, got {modality}")
        return config

    def only(self, modalities: Iterable[ModalityType]) -> "ImageBindConfig":
        """Return the same config with only the trunks of some modalities."""
        kept = {ModalityType(modality).value for modality in modalities}
        left_out: dict[str, Any] = {name: None for name in _TRUNK_CONFIGS if name not in kept}
        return replace(self, **left_out)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for JSON, which `from_dict` reads.

        "model_type" is for Hugging Face's tools; peft reads it.
        """
        return {"model_type": MODEL_TYPE, **asdict(self)}

    @classmethod
    def from_dict(cls, sizes: Mapping[str, Any]) -> "ImageBindConfig":
        """Return the config of a dict from `to_dict`.

        Raises:
            TypeError: not a mapping, an unknown or missing size, or a size of the wrong type.
            ValueError: no trunk, a size out of bounds, or one that is not the required multiple of another.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(sizes, Mapping):
            raise TypeError(f"config: expected sizes by name, some of {', '.join(names)}, got {sizes!r:.80}")
        unknown = set(sizes) - {"model_type", *names}
        if unknown:
            raise TypeError(f"config: expected some of {', '.join(names)}, got {sorted(unknown)}")
        if "embed_dim" not in sizes:
            raise TypeError(f"embed_dim: expected the size of an embedding, got only {sorted(sizes)}")
        config = cls(**{name: sizes[name] for name in names if name in sizes})
        check_size("embed_dim", config.embed_dim, int)
        for name, config_type in _TRUNK_CONFIGS.items():
            trunk = getattr(config, name)
            if trunk is None:
                continue
            if not isinstance(trunk, config_type):
                raise TypeError(f"{name}: expected sizes by name, got {trunk!r:.80}")
            check_trunk(name, trunk)
        if not config.modalities:
            raise ValueError(
                f"config: expected a trunk for at least one of {', '.join(_TRUNK_CONFIGS)}, got none"
            )
        return config


def check_trunk(name: str, trunk: "TrunkConfig | MultiChannelConfig") -> None:
    """Check the sizes of a trunk that were read from a file; messages start with `name`.

    Raises:
        TypeError: a size has the wrong type.
        ValueError: a size is out of bounds, or is not the required multiple of another.
    """
    for field in fields(trunk):
        check_size(f"{name}.{field.name}", getattr(trunk, field.name), field.type)
    for whole, part in (("embed_dim", "num_heads"), ("steps", "window")):
        if hasattr(trunk, part) and getattr(trunk, whole) % getattr(trunk, part):
            raise ValueError(
                f"{name}.{whole}: expected a multiple of {part} = {getattr(trunk, part)}, "
                f"got {getattr(trunk, whole)}"
            )


def check_size(name: str, value: Any, number_type: Any) -> None:
    """Check a size of a model, which may come from a file: it must be an int or float of Python.

    Raises:
        TypeError: not a number, or a float instead of an integer.
        ValueError: out of bounds.
    """
    is_int, is_duration = number_type is int, name.endswith("seconds")
    if type(value) not in ((int,) if is_int else (int, float)):
        raise TypeError(f"{name}: expected {'a whole' if is_int else 'a'} number, got {value!r:.80}")
    if is_int:
        most: float = MAX_BLOCKS if name.endswith("num_blocks") else MAX_SIZE
        in_bounds = 1 <= value <= most
    else:
        most = MAX_SIZE if is_duration else 1.0  # the others are rates and epsilons
        in_bounds = 0 <= value < most and not (is_duration and value == 0)
    if not in_bounds:
        least = "above 0" if is_duration else "at least 0"
        expected = f"1 to {most:,}" if is_int else f"{least} and less than {most:,}"
        is_huge = isinstance(value, int) and value.bit_length() > 64  # Python may refuse to print it
        shown = f"an integer of {value.bit_length()} bits" if is_huge else f"{value:,}"
        raise ValueError(f"{name}: expected {expected}, got {shown}")


_TRUNK_CONFIGS: dict[str, type[TrunkConfig]] = {
    "vision": VisionConfig,
    "text": TextConfig,
    "audio": AudioConfig,
    "depth": OneChannelConfig,
    "thermal": OneChannelConfig,
    "imu": ImuConfig,
}


def huge_config() -> ImageBindConfig:
    """Return the config of the released model: 1,200,781,057 parameters. Source: released."""
    return ImageBindConfig(
        embed_dim=1024,
        vision=VisionConfig(embed_dim=1280, num_blocks=32, num_heads=16),
        text=TextConfig(embed_dim=1024, num_blocks=24, num_heads=16),
        audio=AudioConfig(embed_dim=768, num_blocks=12, num_heads=12),
        depth=OneChannelConfig(embed_dim=384, num_blocks=12, num_heads=8),
        thermal=OneChannelConfig(embed_dim=768, num_blocks=12, num_heads=12),
        imu=ImuConfig(embed_dim=512, num_blocks=6, num_heads=8),
    )


def tiny_config() -> ImageBindConfig:
    """Return the config of the small model, which can be trained on two cores. Source: ours.

    Its six trunks have the architecture of the released model and 6,969,089 parameters, 3.2 million of them
    in the token embedding of text.
    """
    return ImageBindConfig(
        embed_dim=128,
        vision=VisionConfig(embed_dim=128, num_blocks=4, num_heads=4, patch_size=28),
        text=TextConfig(embed_dim=64, num_blocks=3, num_heads=4),
        audio=AudioConfig(embed_dim=128, num_blocks=3, num_heads=4, stride=16, drop_path_rate=0.0),
        depth=OneChannelConfig(embed_dim=128, num_blocks=3, num_heads=4, patch_size=28),
        thermal=OneChannelConfig(embed_dim=128, num_blocks=3, num_heads=4, patch_size=28),
        imu=ImuConfig(
            embed_dim=64,
            num_blocks=2,
            num_heads=4,
            seconds=2.0,  # the length of a toy world clip
            window=20,
            drop_path_rate=0.0,
            head_dropout=0.0,
        ),
    )


def original_sizes(
    *,
    video_frames: int = 2,
    kernel_size: tuple[int, int, int] = (2, 14, 14),
    audio_kernel_size: int = 16,
    audio_stride: int = 10,
    out_embed_dim: int = 768,
    vision_embed_dim: int = 1024,
    vision_num_blocks: int = 24,
    vision_num_heads: int = 16,
    audio_embed_dim: int = 768,
    audio_num_blocks: int = 12,
    audio_num_heads: int = 12,
    audio_num_mel_bins: int = 128,
    audio_target_len: int = 204,
    audio_drop_path: float = 0.1,
    text_embed_dim: int = 768,
    text_num_blocks: int = 12,
    text_num_heads: int = 12,
    depth_embed_dim: int = 384,
    depth_kernel_size: int = 16,
    depth_num_blocks: int = 12,
    depth_num_heads: int = 8,
    depth_drop_path: float = 0.0,
    thermal_embed_dim: int = 768,
    thermal_kernel_size: int = 16,
    thermal_num_blocks: int = 12,
    thermal_num_heads: int = 12,
    thermal_drop_path: float = 0.0,
    imu_embed_dim: int = 512,
    imu_kernel_size: int = 8,
    imu_num_blocks: int = 6,
    imu_num_heads: int = 8,
    imu_drop_path: float = 0.7,
) -> ImageBindConfig:
    """Return the config for sizes under the original project's argument names.

    The defaults are those of its `ImageBindModel`, not those of `imagebind_huge`.

    Raises:
        ValueError: vision patches that are not square or do not span all frames.
    """
    frames, patch_size, width = kernel_size
    if frames != video_frames or patch_size != width:
        raise ValueError(f"kernel_size: expected ({video_frames}, p, p), got {tuple(kernel_size)}")
    return ImageBindConfig(
        embed_dim=out_embed_dim,
        vision=VisionConfig(
            embed_dim=vision_embed_dim,
            num_blocks=vision_num_blocks,
            num_heads=vision_num_heads,
            patch_size=patch_size,
            frames=frames,
        ),
        text=TextConfig(embed_dim=text_embed_dim, num_blocks=text_num_blocks, num_heads=text_num_heads),
        audio=AudioConfig(
            embed_dim=audio_embed_dim,
            num_blocks=audio_num_blocks,
            num_heads=audio_num_heads,
            mel_bins=audio_num_mel_bins,
            mel_frames=audio_target_len,
            patch_size=audio_kernel_size,
            stride=audio_stride,
            drop_path_rate=audio_drop_path,
        ),
        depth=OneChannelConfig(
            embed_dim=depth_embed_dim,
            num_blocks=depth_num_blocks,
            num_heads=depth_num_heads,
            patch_size=depth_kernel_size,
            drop_path_rate=depth_drop_path,
        ),
        thermal=OneChannelConfig(
            embed_dim=thermal_embed_dim,
            num_blocks=thermal_num_blocks,
            num_heads=thermal_num_heads,
            patch_size=thermal_kernel_size,
            drop_path_rate=thermal_drop_path,
        ),
        imu=ImuConfig(
            embed_dim=imu_embed_dim,
            num_blocks=imu_num_blocks,
            num_heads=imu_num_heads,
            window=imu_kernel_size,
            drop_path_rate=imu_drop_path,
        ),
    )
