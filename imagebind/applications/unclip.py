"""Generate images from embeddings with Stable unCLIP, through diffusers.

Stable unCLIP is Stable Diffusion 2.1, trained further to start from an image embedding of OpenCLIP ViT-H. The
image encoder of imagebind_huge is this encoder, frozen, and the other encoders were trained to match its
space. An embedding of audio, depth or IMU can therefore take the place of an image embedding.

The embeddings differ in norm. ImageBind's have norm 1; the pipeline expects the output of its own
`image_encoder`, whose norm is larger. The `image_normalizer` of the pipeline does not store the norm: for
ViT-H its mean is 0 and its standard deviation 1, which changes nothing (source: the published configuration,
which has no statistics). `image_embedding_norm` therefore measures the norm.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from imagebind.checkpoints import factory
from imagebind.embedder import Embedder
from imagebind.space import SpaceMismatchError
from imagebind.toyworld import World, render_image
from imagebind.transforms.image import load_image

DENOISING_STEPS = 20  # this and the next value are diffusers' defaults for this pipeline
GUIDANCE_SCALE = 10.0
STRENGTH = 0.8  # of the change to an initial image; diffusers' default for its other pipelines
IMAGES_PER_BATCH = 4
NORM_IMAGES = 8  # rendered images on which the norm of image embeddings is measured


@dataclass(frozen=True, kw_only=True, eq=False)
class StableUnclip:
    """diffusers' `StableUnCLIPImg2ImgPipeline` and the options of its calls; `load_unclip` makes one.

    `dataclasses.replace` returns a decoder with other options and the same pipeline. Not thread-safe, since
    the pipeline has state.

    Args:
        pipeline: the pipeline, on its device.
        embedding_norm: the norm to which embeddings are scaled: that of the pipeline's image embeddings.
        device: the device to compute on; with CPU offload the pipeline itself is elsewhere.
        num_inference_steps: steps of denoising.
        guidance_scale: strength of classifier-free guidance; at most 1 switches guidance off.
        noise_level: level of the noise added to the embedding, 0 to 999; more gives more varied images.
        prompt: a text for the pipeline's text encoder, in addition to the embedding.
        negative_prompt: a text to avoid; needs guidance.
        height, width: size of the images in pixels, multiples of 8; by default that of training, 768.
        init_image: an image to start from instead of noise.
        strength: how much an initial image is changed, above 0 to 1: the share of the steps that are run.
        batch_size: images per batch.
        show_progress_bar: whether each batch shows its steps.

    Raises:
        ValueError: an option is out of range.
    """

    pipeline: Any
    embedding_norm: float
    device: torch.device
    num_inference_steps: int = DENOISING_STEPS
    guidance_scale: float = GUIDANCE_SCALE
    noise_level: int = 0
    prompt: str = ""
    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None
    init_image: Image.Image | None = None
    strength: float = STRENGTH
    batch_size: int = IMAGES_PER_BATCH
    show_progress_bar: bool = False

    def __post_init__(self) -> None:
        levels = self.pipeline.image_noising_scheduler.config.num_train_timesteps
        checks = {
            "embedding_norm": (0 < self.embedding_norm < float("inf"), "a positive, finite number"),
            "num_inference_steps": (self.num_inference_steps >= 1, "at least 1"),
            "guidance_scale": (0 <= self.guidance_scale < float("inf"), "a finite number of at least 0"),
            "noise_level": (0 <= self.noise_level < levels, f"0 to {levels - 1}"),
            "height": (
                self.height is None or (self.height > 0 and self.height % 8 == 0),
                "a positive multiple of 8",
            ),
            "width": (
                self.width is None or (self.width > 0 and self.width % 8 == 0),
                "a positive multiple of 8",
            ),
            "strength": (0 < self.strength <= 1, "above 0 to 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
        }
        for name, (is_valid, expected) in checks.items():
            if not is_valid:
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)}")
        if self.init_image is not None and self._steps_with_init_image() < 1:
            raise ValueError(
                f"strength: expected at least {1 / self.num_inference_steps:.2g}, one of "
                f"{self.num_inference_steps} steps, got {self.strength}"
            )

    @property
    def embed_dim(self) -> int:
        """The number e of values in an embedding."""
        return self.pipeline.image_normalizer.config.embedding_dim

    def check(self, embedder: Embedder) -> None:
        """Check that an embedder's vectors have as many numbers as the pipeline's embeddings.

        Raises:
            SpaceMismatchError: they have more or fewer.
        """
        check_width(self.embed_dim, embedder.embed_dim)

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return an image for each vector of `embeddings` (n, e), of any norm, and its seed.

        An image depends only on its own embedding and seed, except for rounding.

        Raises:
            ValueError: the embeddings have another width, or the number of seeds differs.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embed_dim or len(seeds) != len(embeddings):
            raise ValueError(
                f"embeddings: expected ({len(seeds)}, {self.embed_dim}), one for each seed, "
                f"got {tuple(embeddings.shape)}"
            )
        scaled = F.normalize(embeddings.float(), dim=-1) * self.embedding_norm
        self.pipeline.set_progress_bar_config(disable=not self.show_progress_bar, desc="Generating")
        images: list[Image.Image] = []
        for start in range(0, len(scaled), self.batch_size):
            part = slice(start, start + self.batch_size)
            images += self._batch(scaled[part], seeds[part])
        return images

    def _batch(self, embeddings: Tensor, seeds: Sequence[int]) -> list[Image.Image]:
        pipeline, count = self.pipeline, len(embeddings)
        # On the CPU, so that a seed gives the same noise on every device.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        with self._initial_latents(generators) as latents:
            return pipeline(
                image_embeds=embeddings.to(self.device, pipeline.unet.dtype),
                prompt=[self.prompt] * count,
                negative_prompt=None if self.negative_prompt is None else [self.negative_prompt] * count,
                height=self.height,
                width=self.width,
                num_inference_steps=self.num_inference_steps,
                guidance_scale=self.guidance_scale,
                noise_level=self.noise_level,
                generator=generators,
                latents=latents,
            ).images

    @contextmanager
    def _initial_latents(self, generators: list[torch.Generator]) -> Iterator[Tensor | None]:
        """Yield the initial latents, or None for pure noise; with an initial image, skip the first steps."""
        if self.init_image is None:
            yield None
            return
        pipeline, scheduler = self.pipeline, self.pipeline.scheduler
        later = _LaterStart(scheduler, self.num_inference_steps - self._steps_with_init_image())
        later.set_timesteps(self.num_inference_steps, device=self.device)
        size = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        fitted = ImageOps.fit(load_image(self.init_image), (self.width or size, self.height or size))
        pixels = pipeline.image_processor.preprocess(fitted).to(self.device, pipeline.vae.dtype)
        with torch.no_grad():
            clean = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
        noise = torch.stack([torch.randn(clean.shape[1:], generator=each) for each in generators])
        clean = clean.expand(len(generators), -1, -1, -1)  # (1, c, h / 8, w / 8) -> (b, c, h / 8, w / 8)
        latents = scheduler.add_noise(clean, noise.to(clean), later.timesteps[:1].expand(len(generators)))
        pipeline.scheduler = later
        try:
            yield latents
        finally:
            pipeline.scheduler = scheduler

    def _steps_with_init_image(self) -> int:
        return int(self.num_inference_steps * self.strength)


class _LaterStart:
    """A scheduler without its first steps, otherwise the same as the wrapped one.

    The pipeline has no option to skip steps. It takes the time steps from its scheduler, and
    multiplies the initial latents by `init_noise_sigma`.
    """

    init_noise_sigma = 1.0  # the latents already have the noise of the first step

    def __init__(self, scheduler: Any, skipped: int) -> None:
        self._scheduler = scheduler
        self._skipped = skipped * getattr(scheduler, "order", 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    @property
    def timesteps(self) -> Tensor:
        return self._scheduler.timesteps[self._skipped :]

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        self._scheduler.set_timesteps(num_inference_steps, device=device)
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self._skipped)


def check_width(expected: int, got: int) -> None:
    """Check that embeddings have as many numbers as a pipeline expects.

    Raises:
        SpaceMismatchError: they have more or fewer.
    """
    if got != expected:
        raise SpaceMismatchError(
            f"Stable unCLIP: expected vectors of {expected} numbers, got {got}; "
            f"the published weights are for {factory.HUGE}"
        )


def image_embedding_norm(pipeline: Any, images: Sequence[Image.Image], *, device: torch.device) -> float:
    """Return the mean norm of the embeddings that the pipeline's `image_encoder` computes for images."""
    pixels = pipeline.feature_extractor(images=list(images), return_tensors="pt").pixel_values
    with torch.no_grad():
        encoded = pipeline.image_encoder(
            pixels.to(device, pipeline.image_encoder.dtype)
        ).image_embeds  # (n, e)
    return encoded.float().norm(dim=-1).mean().item()


def rendered_images() -> list[Image.Image]:
    """Return a few images of the toy world, on which the norm of image embeddings is measured."""
    world = World(seed=0)
    return [Image.fromarray(render_image(world.scene(number))) for number in range(NORM_IMAGES)]
