"""The decoder of imagebind_tiny: an embedding becomes a 64 × 64 image of the toy world.

It was trained on image embeddings only. Embeddings of other modalities lie in another region of the unit
sphere, so every vector is first replaced by a mixture of stored image embeddings, the memory (as in DeCap,
arXiv 2303.03032). A sum of queries is replaced as a whole, which gives one image with the attributes of all
queries, not a mixture of images. An embedding contains almost no information about the position and rotation
of the object, so they are a separate input of the network, the pose. Without it, the network would learn the
average over all poses, which is too blurred to show a shape.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from imagebind.checkpoints.factory import TINY_FOLDER
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.io.atomic import replacing
from imagebind.space import Space
from imagebind.toyworld.scene import Scene, sample_scene
from imagebind.toyworld.view import FOCAL, IMAGE_CENTRE

DECODER_PATH = TINY_FOLDER / "decoder.safetensors"
SPACE_KEY = "space"  # of the file's metadata: the embedding space, as JSON

IMAGE_PIXELS = 64
GRID = 8  # cells per side of the coarsest feature map
HIDDEN_DIM = 384
CHANNELS = 40
PATCH_PIXELS = IMAGE_PIXELS // (2 * GRID)  # per side: a cell of the finer map becomes 4 × 4 pixels
RGBA = 4  # channels of the object: colour and opacity
POSE_DIM = 3  # position right and down in half image widths, clockwise angle in radians

MEMORY_TEMPERATURE = 0.02  # of cosine similarities, in the softmax over the memory


class DecoderNetwork(nn.Module):
    """A network that turns an embedding of length `embed_dim` and a pose into an image."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.latent = nn.Sequential(
            nn.Linear(embed_dim, HIDDEN_DIM),
            nn.GELU(),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.GELU(),
            nn.Linear(HIDDEN_DIM, CHANNELS * GRID**2),
            nn.GELU(),
        )
        self.coarse = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.ground = nn.Conv2d(CHANNELS, 3, 1)
        self.upsample = nn.Conv2d(CHANNELS, 4 * CHANNELS, 1)
        self.fine = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.thing = nn.Conv2d(CHANNELS, RGBA * PATCH_PIXELS**2, 1)

    def forward(self, embeddings: Tensor, poses: Tensor) -> Tensor:
        """Return images from unit vectors (b, e) and poses (b, 3): (b, 3, 64, 64), values from 0 to 1.

        The object is drawn upright in the middle, then moved and rotated.
        """
        unit_variance = embeddings * embeddings.shape[1] ** 0.5
        x = self.latent(unit_variance).unflatten(1, (CHANNELS, GRID, GRID))  # (b, e) -> (b, c, 8, 8)
        x = x + F.gelu(self.coarse(x))
        ground = F.interpolate(self.ground(x), size=(IMAGE_PIXELS, IMAGE_PIXELS), mode="bilinear")
        x = F.pixel_shuffle(self.upsample(x), 2)  # (b, 4c, 8, 8) -> (b, c, 16, 16)
        x = x + F.gelu(self.fine(x))
        thing = placed(F.pixel_shuffle(self.thing(x), PATCH_PIXELS), poses)  # (b, 4, 64, 64)
        opacity = thing[:, 3:].sigmoid()
        return (ground + (thing[:, :3] - ground) * opacity).sigmoid()


def placed(images: Tensor, poses: Tensor) -> Tensor:
    """Return images moved and rotated by poses: (b, c, h, w), (b, 3) -> (b, c, h, w)."""
    right, down, angle = poses.unbind(dim=1)
    cos, sin = angle.cos(), angle.sin()
    to_upright = torch.stack(  # inverse map: from a position to the one in the upright image
        [cos, sin, -(cos * right + sin * down), -sin, cos, sin * right - cos * down], dim=1
    ).unflatten(1, (2, 3))
    grid = F.affine_grid(to_upright, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def shrink(images: Tensor) -> Tensor:
    """Return images resized to the decoder's size: (n, 3, h, w) uint8 -> (n, 3, 64, 64) uint8."""
    size = (IMAGE_PIXELS, IMAGE_PIXELS)
    return F.interpolate(images.float(), size=size, mode="bilinear", antialias=True).round().byte()


def pose_of(scene: Scene) -> tuple[float, float, float]:
    """Return the pose of the object in a scene's image, see `POSE_DIM`."""
    scale = FOCAL / scene.distance / IMAGE_CENTRE  # half widths per metre
    return scene.x * scale, scene.y * scale, scene.angle


@dataclass(frozen=True, eq=False)
class TinyDecoder:
    """Decodes embeddings of imagebind_tiny; implements `generation.Decoder`.

    Args:
        network: the network, on the CPU.
        memory: unit image embeddings of training scenes, (m, e).
        space: the space of the embeddings.
    """

    network: DecoderNetwork
    memory: Tensor
    space: Space

    @classmethod
    def load(cls, path: str | os.PathLike[str] = DECODER_PATH) -> "TinyDecoder":
        """Return a trained decoder, by default the one in this package, on the CPU in float32.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                space = Space.from_json(file.metadata()[SPACE_KEY])
                weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            memory = weights.pop("memory")
            network = DecoderNetwork(memory.shape[1])
            network.load_state_dict(weights)
        except Exception as error:  # safetensors, JSON and torch raise errors of many types
            raise CheckpointError(f"{path}: expected the weights of a decoder, got {error}") from error
        return cls(network.eval().requires_grad_(False), memory, space)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the decoder in half precision, for `load`.

        Raises:
            OSError: the file cannot be written.
        """
        entries = {**self.network.state_dict(), "memory": self.memory}
        stored = {name: tensor.detach().half().cpu().contiguous() for name, tensor in entries.items()}
        with replacing(Path(path)) as temporary:
            save_file(stored, temporary, metadata={SPACE_KEY: self.space.to_json()})

    def to_image_space(self, embeddings: Tensor) -> Tensor:
        """Return the mixtures of the memory for embeddings of any modality: (b, e) -> (b, e), unit length."""
        similarity = F.normalize(embeddings.float(), dim=-1) @ self.memory.T  # (b, m)
        return F.normalize((similarity / MEMORY_TEMPERATURE).softmax(dim=-1) @ self.memory, dim=-1)

    @torch.inference_mode()
    def decode(self, embeddings: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """Return images from embeddings of any modality: (b, e) -> (b, 3, 64, 64), float32 from 0 to 1.

        Args:
            seeds: a random seed for the position and rotation of the object in each image. By default the
                object is upright in the middle.

        Raises:
            ValueError: the embeddings have another shape, or the number of seeds differs.
        """
        embed_dim = self.memory.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != embed_dim:
            raise ValueError(f"embeddings: expected (b, {embed_dim}), got {tuple(embeddings.shape)}")
        if seeds is not None and len(seeds) != len(embeddings):
            raise ValueError(f"seeds: expected {len(embeddings)}, got {len(seeds)}")
        poses = torch.zeros(len(embeddings), POSE_DIM) if seeds is None else _poses(seeds)
        if len(embeddings) == 0:
            return torch.zeros(0, 3, IMAGE_PIXELS, IMAGE_PIXELS)  # affine_grid does not accept an empty batch
        return self.network(self.to_image_space(embeddings.cpu()), poses)

    def check(self, embedder: Embedder) -> None:
        """Check that an embedder's vectors are in the decoder's space.

        Raises:
            SpaceMismatchError: they are not.
        """
        self.space.check(
            Space.of(embedder, kinds=()),
            owner="the decoder of imagebind_tiny",
            way_out="use the weights that the decoder was trained with, or another decoder",
        )

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return an image of 64 × 64 pixels for each embedding (n, e) and its seed."""
        pixels = (self.decode(embeddings, seeds=seeds) * 255).round().byte()
        return [Image.fromarray(each) for each in pixels.permute(0, 2, 3, 1).numpy()]


def _poses(seeds: Sequence[int]) -> Tensor:
    """Return the pose of a random scene for each seed: (b, 3)."""
    poses = [pose_of(sample_scene(np.random.default_rng(seed))) for seed in seeds]
    return torch.tensor(poses, dtype=torch.float32).reshape(-1, POSE_DIM)
