"""What is trained: a model that embeds both sides of a batch in one call, and the losses of its pairs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from imagebind.losses import InfoNCE
from imagebind.modality import ModalityType
from imagebind.models.heads import LogitScale
from imagebind.models.model import ImageBindModel
from imagebind.training.recipe import PairRecipe
from imagebind.training.tuning import frozen_parts, learns_at_all, parts_of

VISION = ModalityType.VISION.value
EMBEDDED_NDIM = 2  # (b, e); pictures have more


class PairEncoder(nn.Module):
    """Embed both sides at once, as DistributedDataParallel wants it: {...} -> (b, e), (b, e).

    Parts that don't learn stay in evaluation mode: a frozen trunk drops nothing. Where vision is frozen, its
    embeddings (b, e) may have been made before, and come in the place of pictures.
    """

    def __init__(self, model: ImageBindModel) -> None:
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> "PairEncoder":
        super().train(mode)
        for part in frozen_parts(self.model):
            part.eval()
        return self

    def forward(self, inputs: Mapping[str, Tensor], modality: str) -> tuple[Tensor, Tensor]:
        """Both sides of a batch: (b, ...), (b, ...) -> (b, e), (b, e).

        Raises:
            ValueError: embeddings in the place of pictures, for a vision that learns.
        """
        vision = inputs[VISION]
        if vision.ndim != EMBEDDED_NDIM:
            return self.model.embed(VISION, vision), self.model.embed(modality, inputs[modality])
        if any(learns_at_all(part[VISION]) for part in parts_of(self.model)):
            raise ValueError(
                f"vision learns, but the batch with {modality} has embeddings {tuple(vision.shape)} of it, "
                "made before; expected pictures, or vision frozen (Recipe.learns)"
            )
        other = self.model.embed(modality, inputs[modality])
        return vision.detach().to(other.dtype), other  # under autocast both sides are rounded alike


def build_losses(pairs: Sequence[PairRecipe]) -> nn.ModuleDict:
    """An InfoNCE for each kind of pair, by its name."""
    return nn.ModuleDict(
        {pair.name: InfoNCE(temperature=pair.temperature, learnable=pair.learn_temperature) for pair in pairs}
    )


@torch.no_grad()
def write_logit_scales(model: ImageBindModel, pairs: Sequence[PairRecipe], losses: nn.ModuleDict) -> None:
    """Set the scale of each paired modality to the inverse of its temperature, as the released ones are.

    Of several kinds of pair with one modality the first counts.
    """
    for pair in reversed(pairs):
        loss = losses[pair.name]
        assert isinstance(loss, InfoNCE)  # `build_losses` made it
        for layer in model.modality_postprocessors[str(pair.modality)].children():
            if isinstance(layer, LogitScale):
                layer.log_logit_scale.copy_(loss.log_logit_scale)
