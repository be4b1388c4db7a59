"""Wraps a model to embed both sides of a batch in one call, and builds the losses of its pairs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from imagebind.losses import InfoNCE
from imagebind.modality import ModalityType
from imagebind.models.heads import LogitScale
from imagebind.models.model import ImageBindModel
from imagebind.training.recipe import PairRecipe
from imagebind.training.tuning import frozen_modules, is_trainable, modules_by_modality

VISION = ModalityType.VISION.value
EMBEDDING_NDIM = 2  # (b, e); images and clips have more


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
                f"vision of a batch with {modality}: expected images or clips, because vision is trainable; "
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
