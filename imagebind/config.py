"""The sizes of a model. Frozen, plain data; layers never see it, only the builder does.

Every trunk has its own small config, so a model of any size is an `ImageBindConfig` of those that it
needs. A named model is a function here that returns one: `imagebind_huge()`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from imagebind.modality import ModalityType


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """A trunk over square pictures, each seen as `frames` frames; a still is repeated to fill them."""

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
    """A causal trunk over token ids."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    context_length: int = 77
    vocab_size: int = 49408
    drop_path_rate: float = 0.0
    norm_eps: float = 1e-6  # 1e-5 in a tower of open_clip


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """A trunk over mel spectrograms, cut into overlapping patches where the stride is below the patch."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    mel_bins: int = 128
    mel_frames: int = 204
    patch_size: int = 16
    stride: int = 10
    drop_path_rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """A trunk over square pictures of one channel: disparity, heat."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    image_size: int = 224
    patch_size: int = 16
    drop_path_rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ImuConfig:
    """A trunk over windows of accelerometer and gyroscope samples."""

    embed_dim: int
    num_blocks: int
    num_heads: int
    channels: int = 6
    steps: int = 2000
    seconds: float = 5.0  # of a recording, that the steps span
    window: int = 8
    drop_path_rate: float = 0.7
    head_dropout: float = 0.5


TrunkConfig = VisionConfig | TextConfig | AudioConfig | PictureConfig | ImuConfig


@dataclass(frozen=True, kw_only=True)
class ImageBindConfig:
    """A model: the width of the shared space and one trunk a modality. None leaves a modality out."""

    embed_dim: int = 1024
    vision: VisionConfig | None = None
    text: TextConfig | None = None
    audio: AudioConfig | None = None
    depth: PictureConfig | None = None
    thermal: PictureConfig | None = None
    imu: ImuConfig | None = None

    @property
    def modalities(self) -> tuple[ModalityType, ...]:
        """The modalities that have a trunk, in the order of the fields."""
        return tuple(ModalityType(field) for field in _TRUNK_CONFIGS if getattr(self, field) is not None)

    def trunk(self, modality: ModalityType) -> TrunkConfig:
        """The sizes of one trunk.

        Raises:
            KeyError: this config has none for the modality.
        """
        config = getattr(self, ModalityType(modality).value)
        if config is None:
            raise KeyError(f"no {modality} trunk in this config, which has {', '.join(self.modalities)}")
        return config

    def only(self, modalities: Iterable[ModalityType]) -> "ImageBindConfig":
        """The same with the trunks of some modalities alone."""
        kept = {ModalityType(modality).value for modality in modalities}
        left_out: dict[str, Any] = {name: None for name in _TRUNK_CONFIGS if name not in kept}
        return replace(self, **left_out)

    def to_dict(self) -> dict[str, Any]:
        """As JSON would hold it; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, sizes: Mapping[str, Any]) -> "ImageBindConfig":
        """Read what `to_dict` wrote.

        Raises:
            TypeError: no mapping, a name that no field has, or one that is missing.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(sizes, Mapping):
            raise TypeError(f"wants sizes by name, some of {', '.join(names)}; got {sizes!r:.80}")
        unknown = set(sizes) - set(names)
        if unknown:
            raise TypeError(f"unknown sizes {sorted(unknown)}; wants some of {', '.join(names)}")
        if "embed_dim" not in sizes:
            raise TypeError(f"no embed_dim among the sizes {sorted(sizes)}; wants the length of a vector")
        trunks: dict[str, Any] = {
            name: kind(**sizes[name]) for name, kind in _TRUNK_CONFIGS.items() if sizes.get(name) is not None
        }
        return cls(embed_dim=sizes["embed_dim"], **trunks)


_TRUNK_CONFIGS: dict[str, type[TrunkConfig]] = {
    "vision": VisionConfig,
    "text": TextConfig,
    "audio": AudioConfig,
    "depth": PictureConfig,
    "thermal": PictureConfig,
    "imu": ImuConfig,
}


def imagebind_huge() -> ImageBindConfig:
    """The sizes of the released model: 1,200,781,057 parameters. Source: released."""
    return ImageBindConfig(
        embed_dim=1024,
        vision=VisionConfig(embed_dim=1280, num_blocks=32, num_heads=16),
        text=TextConfig(embed_dim=1024, num_blocks=24, num_heads=16),
        audio=AudioConfig(embed_dim=768, num_blocks=12, num_heads=12),
        depth=PictureConfig(embed_dim=384, num_blocks=12, num_heads=8),
        thermal=PictureConfig(embed_dim=768, num_blocks=12, num_heads=12),
        imu=ImuConfig(embed_dim=512, num_blocks=6, num_heads=8),
    )


def imagebind_tiny() -> ImageBindConfig:
    """Six small trunks of the released form, to be trained on two cores: 6,969,089 parameters, of which the
    text trunk's table of tokens has 3.2 million. Ours.
    """
    return ImageBindConfig(
        embed_dim=128,
        vision=VisionConfig(embed_dim=128, num_blocks=4, num_heads=4, patch_size=28),
        text=TextConfig(embed_dim=64, num_blocks=3, num_heads=4),
        audio=AudioConfig(embed_dim=128, num_blocks=3, num_heads=4, stride=16, drop_path_rate=0.0),
        depth=PictureConfig(embed_dim=128, num_blocks=3, num_heads=4, patch_size=28),
        thermal=PictureConfig(embed_dim=128, num_blocks=3, num_heads=4, patch_size=28),
        imu=ImuConfig(
            embed_dim=64,
            num_blocks=2,
            num_heads=4,
            seconds=2.0,  # as long as a clip of the toy world
            window=20,
            drop_path_rate=0.0,
            head_dropout=0.0,
        ),
    )
