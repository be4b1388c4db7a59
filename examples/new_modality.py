"""Bind a modality of your own to the space of a frozen model: a radar trunk, saved as a pack.

    python examples/new_modality.py --out radar_pack

The new trunk is trained on pairs with images only, as in ImageBind; the other modalities do not change. Here
the frozen model has random weights, and the pairs are synthetic: images with a texture, and range-angle maps
with the same texture. The pack contains the weights of the new modules, and the name and settings of their
transform. `Embedder(model, packs=["radar_pack"])` adds it to the frozen model.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imagebind import Embedder, ImageBindConfig, ImageBindModel
from imagebind.config import OneChannelConfig, VisionConfig
from imagebind.losses import info_nce
from imagebind.models.bound import with_modality
from imagebind.packs import save_pack
from imagebind.transforms import ArrayTransform

SIDE = 64  # height and width of an image in pixels, and of a range-angle map in cells
TEXTURE_SIDE = 8  # height and width of the texture, which repeats
RADAR = OneChannelConfig(embed_dim=64, num_blocks=2, num_heads=4, image_size=SIDE, patch_size=8)


def make_pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return noisy images (count, 3, 64, 64) and maps (count, 1, 64, 64) with the same textures."""
    texture = torch.randn(count, 1, TEXTURE_SIDE, TEXTURE_SIDE, generator=generator)
    texture = texture.repeat(1, 1, SIDE // TEXTURE_SIDE, SIDE // TEXTURE_SIDE)  # (count, 1, 64, 64)
    noise = 0.3 * torch.randn(count, 4, SIDE, SIDE, generator=generator)
    return texture + noise[:, :3], texture + noise[:, 3:]


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("radar_pack"), help="folder of the pack")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    vision = VisionConfig(embed_dim=64, num_blocks=2, num_heads=4, image_size=SIDE, patch_size=8)
    frozen = ImageBindModel(ImageBindConfig(embed_dim=32, vision=vision)).requires_grad_(False).eval()
    model = with_modality(frozen, "radar", RADAR)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(options.steps):
        images, maps = make_pairs(16, generator)
        embeddings = model({"vision": images, "radar": maps})
        loss = info_nce(embeddings["radar"], embeddings["vision"], temperature=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    first, last = np.mean(losses[:5]), np.mean(losses[-5:])
    print(f"loss {first:.2f} -> {last:.2f} in {options.steps} steps")

    transform = ArrayTransform(shape=(1, SIDE, SIDE))
    save_pack(model, "radar", options.out, sizes=RADAR, transform=transform)
    embedder = Embedder(frozen, packs=[options.out])  # `frozen` itself has no radar
    maps = [np.asarray(one[0]) for one in make_pairs(4, generator)[1]]
    print(f"the pack in {options.out} embeds maps: {embedder.encode(maps, modality='radar').shape}")
    return first, last


if __name__ == "__main__":
    main()
