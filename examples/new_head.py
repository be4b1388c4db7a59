"""Fine-tune by subclassing: an image classifier on a frozen vision trunk.

    python examples/new_head.py photos/cats photos/dogs --weights imagebind_huge.pth

Each folder is a class. Only the new layer is trained, on features that the frozen trunk computes once.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind import ImageBindConfig, ImageBindModel, ModalityType
from imagebind.checkpoints.loading import load_into
from imagebind.config import huge_config
from imagebind.transforms.image import ImageTransform


class Classifier(ImageBindModel):
    """The frozen vision trunk and head, and a trainable linear layer for the classes."""

    def __init__(self, config: ImageBindConfig, num_classes: int) -> None:
        super().__init__(config, modalities=[ModalityType.VISION])
        self.requires_grad_(False)
        self.classes = nn.Linear(config.embed_dim, num_classes)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Embed images: (b, 3, h, w) -> (b, e), unit length."""
        return F.normalize(self.embed(ModalityType.VISION, images), dim=-1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the logits of images: {"vision": (b, 3, h, w)} -> (b, classes)."""
        return self.classes(self.features(inputs[ModalityType.VISION]))


def train(model: Classifier, images: Tensor, labels: Tensor, *, steps: int) -> float:
    """Fit the new layer on all images at once, and return its accuracy on them."""
    optimizer = torch.optim.AdamW(model.classes.parameters(), lr=0.05)
    features = model.eval().features(images)
    for _ in range(steps):
        loss = F.cross_entropy(model.classes(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        return (model({"vision": images}).argmax(dim=1) == labels).float().mean().item()


def main(arguments: list[str] | None = None, config: ImageBindConfig | None = None) -> float:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="a folder of images for each class")
    parser.add_argument("--weights", help="weights to start from; without them the trunk is random")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args(arguments)

    model = Classifier(config or huge_config(), num_classes=len(options.folders))
    if options.weights:
        load_into(model, options.weights, modalities=[ModalityType.VISION])
    transform = ImageTransform()
    files = [
        (path, label) for label, folder in enumerate(options.folders) for path in sorted(folder.iterdir())
    ]
    images = torch.stack([transform(path) for path, _ in files])
    accuracy = train(model, images, torch.tensor([label for _, label in files]), steps=options.steps)
    print(f"{accuracy:.0%} of {len(files)} images correct after {options.steps} steps")
    return accuracy


if __name__ == "__main__":
    main()
