"""A model, transforms and a tokenizer in the form of open_clip 3, for code that is written for it.

Functions have open_clip's names, main parameters, defaults and return values; open_clip itself is not needed.
Two defaults differ: `model_name` is imagebind_huge, and `pretrained` is the weights that belong to the name;
only None means new weights.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode, RandomResizedCrop

from imagebind.checkpoints import factory
from imagebind.config import MAX_LOGIT_SCALE
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD, ImageTransform
from imagebind.transforms.text import CONTEXT_LENGTH, Tokenizer
from imagebind.zeroshot import LOGIT_SCALE_NAME

DEFAULT_WEIGHTS = "default"  # a tag: the weights that belong to the model's name
TRAIN_CROP_SCALE = (0.9, 1.0)  # share of the image's area; open_clip's default
DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "pure_fp16": torch.float16,
    "pure_bf16": torch.bfloat16,
    # The caller's autocast lowers the precision, as in open_clip.
    "amp": torch.float32,
    "amp_bf16": torch.float32,
    "amp_bfloat16": torch.float32,
}


@dataclass(frozen=True, kw_only=True)
class VisualSizes:
    """The attributes of open_clip's `model.visual` that describe its images and features."""

    image_size: int
    output_dim: int

    @property
    def preprocess_cfg(self) -> dict[str, Any]:
        """The settings of the image transform, for open_clip's `image_transform_v2`."""
        return {
            "size": self.image_size,
            "mode": "RGB",
            "mean": IMAGE_MEAN,
            "std": IMAGE_STD,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "fill_color": 0,
        }


class OpenClipModel(nn.Module):
    """An `ImageBindModel` with the main methods and attributes of open_clip's `CLIP`.

    The model itself is `self.model`; it may have other modalities too.
    """

    def __init__(self, model: ImageBindModel) -> None:
        """Wrap a model that has vision and text.

        Raises:
            ValueError: the model has no vision or no text.
        """
        super().__init__()
        vision, text = model.config.vision, model.config.text
        if vision is None or text is None:
            raise ValueError(f"model: expected vision and text, got {', '.join(model.modalities)}")
        self.model = model
        self.training = model.training
        self.visual = VisualSizes(image_size=vision.image_size, output_dim=model.config.embed_dim)
        self.context_length = text.context_length
        self.vocab_size = text.vocab_size

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of the learned scale of cosine similarities, a scalar parameter."""
        return self.model.get_parameter(LOGIT_SCALE_NAME.format(ModalityType.TEXT))

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Embed transformed images: (b, 3, h, w) -> (b, e), of unit length even without `normalize`."""
        return self._embed(ModalityType.VISION, image, normalize)

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Embed token ids: (b, l) -> (b, e), scaled by exp(`logit_scale`), at most 100, unless normalised."""
        return self._embed(ModalityType.TEXT, text, normalize)

    def forward(
        self, image: Tensor | None = None, text: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """Return image and text embeddings of unit length, None for a missing input, and the scale.

        The scale is exp(`logit_scale`), at most 100, as in the model.
        """
        return (
            None if image is None else self.encode_image(image, normalize=True),
            None if text is None else self.encode_text(text, normalize=True),
            self.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE),
        )

    def _embed(self, modality: ModalityType, inputs: Tensor, normalize: bool) -> Tensor:
        embeddings = self.model.embed(modality.value, inputs)
        return F.normalize(embeddings, dim=-1) if normalize else embeddings


def create_model_and_transforms(
    model_name: str | os.PathLike[str] = factory.HUGE,
    pretrained: str | os.PathLike[str] | None = DEFAULT_WEIGHTS,
    *,
    precision: str = "fp32",
    device: torch.device | str = "cpu",
    cache_dir: str | None = None,
) -> tuple[OpenClipModel, ImageTransform, ImageTransform]:
    """Return a model with only vision and text, the image transform for training, and that for evaluation.

    Args:
        model_name: a name of `imagebind.list_models`; or a saved model or weights, as for `Embedder`, and
            then `pretrained` is ignored.
        pretrained: "default", the weights that belong to the name; None, new weights; or, for
            `imagebind_huge`, a file, folder or URI with weights.
        precision: "fp32", "fp16" (or "pure_fp16") or "bf16" (or "pure_bf16") of the weights; "amp",
            "amp_bf16" and "amp_bfloat16" keep float32.
        cache_dir: the folder for a download.

    Raises:
        CheckpointError: the weights cannot be found, downloaded or read, or do not fit the model.
        ValueError: an unknown precision, a model without vision or text, or other weights for
            `imagebind_tiny`.
    """
    loaded = _load(model_name, pretrained, precision=precision, device=device, cache_dir=cache_dir)
    model = OpenClipModel(loaded)
    size = model.visual.image_size
    return model, ImageTransform(size=size, crop=random_crop), ImageTransform(size=size)


def create_model_from_pretrained(
    model_name: str | os.PathLike[str] = factory.HUGE,
    pretrained: str | os.PathLike[str] = DEFAULT_WEIGHTS,
    *,
    precision: str = "fp32",
    device: torch.device | str = "cpu",
    return_transform: bool = True,
    cache_dir: str | None = None,
) -> OpenClipModel | tuple[OpenClipModel, ImageTransform]:
    """Return a model with weights, and its image transform unless `return_transform` is false.

    The parameters are those of `create_model_and_transforms`.

    Raises:
        ValueError: `pretrained` is None; other errors are those of `create_model_and_transforms`.
    """
    if pretrained is None:
        raise ValueError(f"pretrained: expected weights, such as {DEFAULT_WEIGHTS!r}, got None")
    model, _, preprocess = create_model_and_transforms(
        model_name, pretrained, precision=precision, device=device, cache_dir=cache_dir
    )
    return (model, preprocess) if return_transform else model


def get_tokenizer(
    model_name: str | os.PathLike[str] = factory.HUGE, context_length: int | None = None
) -> Tokenizer:
    """Return the tokenizer, the same for all models: a str or a list of them -> (b, `context_length`) int64.

    `context_length` is 77 by default.
    """
    return Tokenizer(context_length=context_length or CONTEXT_LENGTH)


def random_crop(image: Any, size: int) -> Any:
    """Cut a random part of an image as open_clip does for training: (..., h, w) -> (..., size, size)."""
    crop = RandomResizedCrop(size, scale=TRAIN_CROP_SCALE, interpolation=InterpolationMode.BICUBIC)
    return crop(image)


def _load(
    model_name: str | os.PathLike[str],
    pretrained: str | os.PathLike[str] | None,
    *,
    precision: str,
    device: torch.device | str,
    cache_dir: str | None,
) -> ImageBindModel:
    if precision not in DTYPES:
        raise ValueError(f"precision: expected one of {', '.join(DTYPES)}, got {precision!r}")
    modalities, dtype = (ModalityType.VISION, ModalityType.TEXT), DTYPES[precision]
    weights = True if pretrained == DEFAULT_WEIGHTS else pretrained
    if model_name == factory.HUGE:
        return factory.imagebind_huge(
            weights, modalities=modalities, dtype=dtype, device=device, cache_dir=cache_dir
        )
    if model_name == factory.TINY:
        if weights not in (True, None):
            raise ValueError(
                f"pretrained: expected {DEFAULT_WEIGHTS!r} or None for {model_name}, got {weights!r}"
            )
        return factory.imagebind_tiny(bool(weights), modalities=modalities, dtype=dtype, device=device)
    return factory.pretrained_model(model_name, modalities=modalities, dtype=dtype, device=device)
