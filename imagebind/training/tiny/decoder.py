"""Trains the decoder of imagebind_tiny on image embeddings only: `imagebind train tiny-decoder`.

The images show scenes of the training world. The vision tower is frozen, so each image is embedded once. An
interrupted run resumes from its checkpoint.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.applications.tiny_decoder import IMAGE_PIXELS, DecoderNetwork, TinyDecoder, pose_of, shrink
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.checkpoints.tensors import read_cached, write_cached
from imagebind.checks import check_not_negative, check_whole
from imagebind.datasets.pairs import generator
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.evaluation.toyworld import embed_pixels
from imagebind.io.atomic import replacing
from imagebind.modality import ModalityType
from imagebind.space import Space
from imagebind.toyworld.rendered import RENDERER_VERSION, image_renderer
from imagebind.toyworld.scene import World
from imagebind.training.journal import Journal
from imagebind.training.loop import Progress
from imagebind.training.optimizer import Schedule, set_learning_rate
from imagebind.training.recipe import RecipeError
from imagebind.training.state import read_saved
from imagebind.training.tiny.recipe import TRAIN_SEED

SCENES = 6_000
MEMORY_SIZE = 2_000  # training embeddings stored in the decoder
STEPS, BATCH_SIZE = 1_500, 32
# About the greatest norm of the noise on unit embeddings. Noise lets the network accept other modalities'
# embeddings too.
MAX_NOISE = 1.5
LR, WEIGHT_DECAY, WARMUP_SHARE = 3e-3, 1e-4, 0.05
SCENES_PER_FILE = 250  # rendered and embedded before a file is written
STEPS_PER_CHECKPOINT = 250
STEPS_PER_LINE = 50  # steps per line of the log

CHECKPOINT_NAME, DECODER_NAME, IMAGES_NAME = "checkpoint.pt", "decoder.safetensors", "images"


@dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """Images of scenes with their embeddings.

    Args:
        images: (n, 3, 64, 64) uint8.
        embeddings: unit vectors (n, e).
        poses: (n, 3), see `tiny_decoder.POSE_DIM`.
    """

    images: Tensor
    embeddings: Tensor
    poses: Tensor


def train_decoder(
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    scenes: int = SCENES,
    steps: int = STEPS,
    noise: float = MAX_NOISE,
    progress: Progress | None = None,
) -> Path:
    """Train the decoder, or resume its training, and return the path of its file.

    Args:
        output: the folder for the images, the checkpoint, the log and the decoder.
        seed: random seed of the initial weights, the order and the noise; the toy world has its own.
        scenes: number of images.
        steps: number of training steps.
        noise: about the greatest norm of the noise on the embeddings.
        progress: called after each step.

    Raises:
        ValueError: an option is negative, infinite or NaN, or there are no scenes or steps.
        RecipeError: the folder has the checkpoint of a run with other options.
        OSError: the folder cannot be written.
        CheckpointError: the checkpoint, or the small model's weights, cannot be read.
    """
    check_whole(0, seed=seed)
    check_whole(1, scenes=scenes, steps=steps)
    check_not_negative(noise=noise)
    output = Path(output)
    embedder = Embedder(imagebind_tiny(pretrained=True))
    space = Space.of(embedder, kinds=())
    data = embedded_images(output / IMAGES_NAME, embedder, scenes=scenes)
    network = train_network(data, output, seed=seed, steps=steps, noise=noise, progress=progress)
    memory = data.embeddings[:MEMORY_SIZE].clone()
    TinyDecoder(network, memory, space).save(output / DECODER_NAME)
    return output / DECODER_NAME


def train_network(
    data: EmbeddedImages,
    output: Path,
    *,
    seed: int,
    steps: int,
    noise: float = MAX_NOISE,
    progress: Progress | None = None,
) -> DecoderNetwork:
    """Train a network for `steps` steps, resuming from the checkpoint in `output`, and return it.

    Raises:
        RecipeError: the checkpoint is of a run with other options.
        CheckpointError: the checkpoint cannot be read, or is not of a decoder's training.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = DecoderNetwork(data.embeddings.shape[-1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = Schedule(total_steps=steps, warmup_steps=int(WARMUP_SHARE * steps))
    identity = {"seed": seed, "steps": steps, "noise": noise, "scenes": len(data.images)}
    start = _resume(output / CHECKPOINT_NAME, identity, network, optimizer)
    journal = Journal(output, (), start_step=start)
    try:
        for step in range(start + 1, steps + 1):
            set_learning_rate(optimizer, LR * schedule.factor(step - 1))
            rng = generator(seed, step, 0)
            chosen = torch.from_numpy(rng.integers(len(data.images), size=BATCH_SIZE))
            decoded = network(with_noise(data.embeddings[chosen], noise, rng), data.poses[chosen])
            loss = F.l1_loss(decoded, data.images[chosen].float() / 255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % STEPS_PER_LINE == 0:
                journal.step(step, {"pair": "image", "loss": loss.item()})
            if step % STEPS_PER_CHECKPOINT == 0 or step == steps:
                _store(output / CHECKPOINT_NAME, identity, step, network, optimizer)
            if progress is not None:
                progress(step, steps, loss.item())
    finally:
        journal.close()
    return network.eval()


def with_noise(embeddings: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Return unit vectors with Gaussian noise of a random norm up to about `most`: (b, e) -> (b, e)."""
    lengths = most * rng.random((len(embeddings), 1), dtype=np.float32)
    noise = rng.standard_normal(embeddings.shape, dtype=np.float32) / embeddings.shape[1] ** 0.5
    return F.normalize(embeddings + torch.from_numpy(lengths * noise), dim=-1)


def embedded_images(folder: Path, embedder: Embedder, *, scenes: int = SCENES) -> EmbeddedImages:
    """Return the images and embeddings of scenes 0 to `scenes` - 1 of the training world.

    Scenes that the folder lacks, or stores for another vision tower or renderer, are rendered and embedded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world = World(seed=TRAIN_SEED, held_out=False)
    weights = Space.of(embedder, kinds=()).weights[ModalityType.VISION.value]
    made_by = f"{weights} renderer {RENDERER_VERSION} world {world} pixels {IMAGE_PIXELS}"
    parts: list[dict[str, Tensor]] = []
    with image_renderer(world, workers=os.cpu_count() or 1) as render:
        for start in range(0, scenes, SCENES_PER_FILE):
            numbers = range(start, min(start + SCENES_PER_FILE, scenes))
            path = folder / f"{numbers.start}-{numbers.stop}.safetensors"
            part = read_cached(path, made_by)
            if part is None:
                batches = [(shrink(images), embed_pixels(embedder, images)) for images in render(numbers)]
                images, embeddings = (torch.cat(each) for each in zip(*batches, strict=True))
                part = {"images": images, "embeddings": embeddings}
                write_cached(path, part, made_by)
            parts.append(part)
    return EmbeddedImages(
        torch.cat([part["images"] for part in parts]),
        torch.cat([part["embeddings"] for part in parts]),
        torch.tensor([pose_of(world.scene(number)) for number in range(scenes)]),
    )


def _store(
    path: Path,
    identity: Mapping[str, float],
    step: int,
    network: DecoderNetwork,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = {"identity": dict(identity), "step": step}
    with replacing(path) as temporary:
        torch.save({**state, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, temporary)


def _resume(
    path: Path, identity: Mapping[str, float], network: DecoderNetwork, optimizer: torch.optim.Optimizer
) -> int:
    """Load the checkpoint and return its step; without a checkpoint, return 0.

    Raises:
        RecipeError: the checkpoint is of a run with other options.
        CheckpointError: the checkpoint cannot be read, or is not of a decoder's training.
    """
    if not path.exists():
        return 0
    state = read_saved(path)
    if not isinstance(state, dict) or not state.keys() >= {"identity", "step", "network", "optimizer"}:
        raise CheckpointError(f"{path}: expected a checkpoint of a decoder's training, got another file")
    if state["identity"] != dict(identity):
        raise RecipeError(
            f"{path}: expected a checkpoint of {dict(identity)}, got {state['identity']}; "
            "use another output folder, or the same options"
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
