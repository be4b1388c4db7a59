"""A loader for clip_benchmark, which finds loaders by name in `clip_benchmark.models.TYPE2FUNC`.

    from clip_benchmark import cli, models
    from imagebind.integrations.clip_benchmark import load

    models.TYPE2FUNC["imagebind"] = load
    models.MODEL_TYPES.append("imagebind")  # for the command line's --model_type
    cli.main()

A file with these lines runs clip_benchmark's command line with this loader.
"""

import os

import torch

from imagebind.integrations.open_clip import OpenClipModel, create_model_and_transforms, get_tokenizer
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.text import Tokenizer


def load(
    model_name: str | os.PathLike[str],
    pretrained: str | os.PathLike[str],
    cache_dir: str | None = None,
    device: torch.device | str = "cpu",
) -> tuple[OpenClipModel, ImageTransform, Tokenizer]:
    """Return the model, image transform and tokenizer, as clip_benchmark's loaders do.

    The parameters are those of `imagebind.integrations.open_clip.create_model_and_transforms`.
    """
    model, _, transform = create_model_and_transforms(
        model_name, pretrained, device=device, cache_dir=cache_dir
    )
    return model, transform, get_tokenizer(model_name)
