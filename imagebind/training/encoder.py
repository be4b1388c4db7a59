"""Builds a recipe's model with its weights, an encoder of both sides of a batch, and the losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from imagebind.checkpoints.loading import load_into
from imagebind.config import ImageBindConfig
from imagebind.errors import CheckpointError
from imagebind.losses import InfoNCE
from imagebind.modality import ModalityType
from imagebind.models.heads import LogitScale
from imagebind.models.model import ImageBindModel
from imagebind.models.transformer import Trunk
from imagebind.training.random_state import seed_everything
from imagebind.training.recipe import OpenClipWeights, PairRecipe, Recipe
from imagebind.training.state import ADAPTER_NAME, MODEL_NAME
from imagebind.training.tuning import (
    Lora,
    freeze_but,
    frozen_modules,
    import_peft,
    is_trainable,
    modules_by_modality,
)

if TYPE_CHECKING:
    from peft import PeftModel

VISION = ModalityType.VISION.value
EMBEDDING_NDIM = 2  # (b, e); images and clips have more


def start_model(recipe: Recipe, checkpoint: Path | None) -> "tuple[ImageBindModel, PeftModel | None]":
    """Return the model with its initial or its checkpoint's weights, and with LoRA peft's model, else None.

    Raises:
        CheckpointError: weights cannot be read, or do not fit this model.
        ValueError: see `Recipe.check_modalities`.
        MissingExtraError: open_clip or peft is not installed.
    """
    seed_everything(recipe.seed)  # the same initial weights on every rank
    config = recipe.model
    model = ImageBindModel(config, device="cpu") if isinstance(config, ImageBindConfig) else config()
    recipe.check_modalities(model.modalities)
    checkpoint_has_model = checkpoint is not None and not isinstance(recipe.learns, Lora)
    if not checkpoint_has_model:
        _load_weights(model, recipe)
    adapter = freeze_but(model, recipe.learns)
    if checkpoint is not None and adapter is not None:
        peft = import_peft()
        try:
            state = peft.load_peft_weights(str(checkpoint / ADAPTER_NAME), device="cpu")
        except Exception as error:  # errors of safetensors, torch and the disk
            raise CheckpointError(f"{checkpoint / ADAPTER_NAME}: cannot be read ({error})") from error
        peft.set_peft_model_state_dict(adapter, state)
    elif checkpoint is not None:
        load_into(model, checkpoint / MODEL_NAME)
    for trunk in model.modality_trunks.values():
        if isinstance(trunk, Trunk):
            trunk.set_grad_checkpointing(recipe.grad_checkpointing)
    return model, adapter


class PairEncoder(nn.Module):
    """Embeds both sides of a batch in one forward call, as DistributedDataParallel requires.

    Frozen stems, trunks and heads stay in evaluation mode, so dropout and drop path are off in them. If
    vision is frozen, a batch may contain precomputed vision embeddings (b, e) instead of images.
    """

    def __init__(self, model: ImageBindModel) -> None:
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> "PairEncoder":
        super().train(mode)
        for module in frozen_modules(self.model):
            module.eval()
        return self

    def forward(self, inputs: Mapping[str, Tensor], modality: str) -> tuple[Tensor, Tensor]:
        """Embed both sides of a batch: (b, ...), (b, ...) -> (b, e), (b, e).

        Raises:
            ValueError: the batch has precomputed vision embeddings, but vision is trainable.
        """
        vision = inputs[VISION]
        if vision.ndim != EMBEDDING_NDIM:
            return self.model.embed(VISION, vision), self.model.embed(modality, inputs[modality])
        if any(is_trainable(modules[VISION]) for modules in modules_by_modality(self.model)):
            raise ValueError(
                f"vision of a batch with {modality}: expected images or clips, because vision is trainable, "
                f"got precomputed embeddings {tuple(vision.shape)}. Freeze vision (Recipe.learns)"
            )
        other = self.model.embed(modality, inputs[modality])
        return vision.detach().to(other.dtype), other  # under autocast both sides have the same precision


def build_losses(pairs: Sequence[PairRecipe]) -> nn.ModuleDict:
    """Build an InfoNCE loss for each `PairRecipe`, keyed by its name."""
    return nn.ModuleDict(
        {pair.name: InfoNCE(temperature=pair.temperature, learnable=pair.learn_temperature) for pair in pairs}
    )


@torch.no_grad()
def write_logit_scales(model: ImageBindModel, pairs: Sequence[PairRecipe], losses: nn.ModuleDict) -> None:
    """Set each paired modality's logit scale to the inverse of its temperature, as in the released model.

    If several `PairRecipe`s have the same modality, the first one is used.
    """
    for pair in reversed(pairs):
        loss = losses[pair.name]
        assert isinstance(loss, InfoNCE)
        for layer in model.modality_postprocessors[str(pair.modality)].children():
            if isinstance(layer, LogitScale):
                layer.log_logit_scale.copy_(loss.log_logit_scale)


def _load_weights(model: ImageBindModel, recipe: Recipe) -> None:
    for weights in recipe.weights:
        if isinstance(weights, OpenClipWeights):
            from imagebind.training.open_clip_weights import create_open_clip, load_open_clip

            load_open_clip(model, create_open_clip(weights.name, weights.pretrained))
        else:
            load_into(model, weights.source, modalities=weights.modalities)
