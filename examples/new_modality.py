"""Add a sense that the model does not have: a radar trunk, aligned to the frozen vision trunk.

    python examples/new_modality.py

A modality is four modules under one key; `forward` then takes it like any other. Here the pairs are made
up: pictures with a texture, and range-angle maps that show the same one. As in ImageBind, the new trunk sees
only pairs with pictures.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind import ImageBindConfig, ImageBindModel
from imagebind.config import VisionConfig
from imagebind.models.heads import class_token_head, postprocessor
from imagebind.models.imagebind_model import init_weights
from imagebind.models.stems import OneChannelPreprocessor
from imagebind.models.transformer import Trunk

RADAR_SIZE = 64  # cells a side of a range-angle map
TEXTURE = 8  # cells after which it repeats
WIDTH = 64


class WithRadar(ImageBindModel):
    """The modalities of a config, frozen, and a radar trunk over maps (b, 1, 64, 64) that learns."""

    def __init__(self, config: ImageBindConfig) -> None:
        super().__init__(config)
        self.requires_grad_(False)
        self.modality_preprocessors["radar"] = OneChannelPreprocessor(
            WIDTH,
            name="radar",
            image_size=(RADAR_SIZE, RADAR_SIZE),
            patch_size=8,
            stride=8,
            stem_name="radar_stem",
        )
        self.modality_trunks["radar"] = Trunk(WIDTH, num_blocks=2, num_heads=4)
        self.modality_heads["radar"] = class_token_head(WIDTH, config.embed_dim)
        self.modality_postprocessors["radar"] = postprocessor(logit_scale=10.0)
        for parts in (self.modality_preprocessors, self.modality_trunks, self.modality_heads):
            init_weights(parts["radar"])
        init_weights(self.modality_postprocessors["radar"])


def make_pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, 64, 64) and maps (count, 1, 64, 64) whose textures belong together, with noise."""
    texture = torch.randn(count, 1, TEXTURE, TEXTURE, generator=generator)
    texture = texture.repeat(1, 1, RADAR_SIZE // TEXTURE, RADAR_SIZE // TEXTURE)  # (count, 1, 64, 64)
    noise = 0.3 * torch.randn(count, 4, RADAR_SIZE, RADAR_SIZE, generator=generator)
    return texture + noise[:, :3], texture + noise[:, 3:]


def contrastive_loss(model: WithRadar, pictures: Tensor, maps: Tensor) -> Tensor:
    """InfoNCE both ways between pictures and maps of one batch."""
    embeddings = model({"vision": pictures, "radar": maps})  # radar comes out scaled
    logits = embeddings["radar"] @ embeddings["vision"].T  # (b, b)
    target = torch.arange(len(logits))
    return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)


def main(steps: int = 60) -> tuple[float, float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    vision = VisionConfig(embed_dim=WIDTH, num_blocks=2, num_heads=4, image_size=RADAR_SIZE, patch_size=8)
    model = WithRadar(ImageBindConfig(embed_dim=32, vision=vision))
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(steps):
        loss = contrastive_loss(model, *make_pairs(16, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)
    first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    print(f"loss {first:.2f} -> {last:.2f} in {steps} steps; the vision trunk is as it was")
    return first, last


if __name__ == "__main__":
    main()
