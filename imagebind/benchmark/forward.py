"""Benchmarks a trunk's forward pass relative to the rate of `nn.Linear` at the same shapes."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind import config as configs
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, ratios, seconds
from imagebind.config import ImageBindConfig
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.models.transformer import MLP_RATIO, Block, Trunk

SECTION = "forward"
TARGET_LARGE_SHARE = 0.75
TARGET_SMALL_SHARE = 0.6  # softmax and norms are a larger share of a narrow trunk's work
LARGE_TRUNKS = (ModalityType.VISION, ModalityType.TEXT)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GIGA = 1e9


def measure(size: Size) -> Iterator[Row]:
    """Yield a row per trunk and precision, and in float32 also the speed-up by compiling."""
    for modality in size.config.modalities:
        for name, dtype in PRECISIONS.items():
            trial = try_trunk(size, modality, dtype)
            with torch.inference_mode():
                yield _share(size, modality, name, trial)
                if dtype is torch.float32:
                    yield _compiled(size, modality, trial)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A model with one trunk and its input. It may have fewer blocks than configured; all are equal."""

    model: ImageBindModel
    modality: ModalityType
    inputs: Tensor  # as the stem takes them
    trunk_inputs: dict[str, Tensor]  # as the stem returns them
    blocks: int  # of the trunk as configured

    @property
    def trunk(self) -> Trunk:
        trunk = self.model.modality_trunks[self.modality.value]
        assert isinstance(trunk, Trunk)
        return trunk

    @property
    def tokens(self) -> Tensor:
        """The input of the first block: (b, l, d)."""
        return self.trunk_inputs["tokens"]

    def run_blocks(self) -> None:
        self.trunk(**self.trunk_inputs)

    def run_ends(self) -> None:
        """Run the stem, the head and the postprocessor."""
        name = self.modality.value
        prepared = self.model.modality_preprocessors[name](self.inputs)
        embeddings = self.model.modality_heads[name](self.tokens, **prepared["head"])
        self.model.modality_postprocessors[name](embeddings)

    def run_linears(self) -> None:
        """Run only the matrix products of the blocks with their weights."""
        hidden = self.tokens.new_ones(*self.tokens.shape[:2], MLP_RATIO * self.tokens.shape[2])
        for block in self.trunk.blocks:
            assert isinstance(block, Block)
            F.linear(self.tokens, block.attn.in_proj_weight, block.attn.in_proj_bias)
            block.attn.out_proj(self.tokens)
            block.mlp.fc1(self.tokens)
            block.mlp.fc2(hidden)


def try_trunk(size: Size, modality: ModalityType, dtype: torch.dtype) -> Trial:
    """Build a trunk with as many blocks as run in `size.pass_seconds`, since emulated bfloat16 is slow."""
    inputs = example_input(size.config, modality, size.batch)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    whole = size.config.trunk(modality).num_blocks

    def build(blocks: int) -> Trial:
        sizes = size.config.to_dict()
        sizes[modality.value]["num_blocks"] = blocks
        config = ImageBindConfig.from_dict(sizes)
        model = ImageBindModel(config, modalities=[modality], dtype=dtype).eval()
        with torch.inference_mode():
            trunk_inputs = model.modality_preprocessors[modality.value](inputs)["trunk"]
        return Trial(model=model, modality=modality, inputs=inputs, trunk_inputs=trunk_inputs, blocks=whole)

    one = build(1)
    with torch.inference_mode():
        one.run_blocks()
        affordable = int(size.pass_seconds / seconds(one.run_blocks))
    return build(affordable) if 1 < affordable < whole else one if affordable <= 1 else build(whole)


def _share(size: Size, modality: ModalityType, precision: str, trial: Trial) -> Row:
    linears, blocks, ends = by_turns(
        [trial.run_linears, trial.run_blocks, trial.run_ends], repeats=size.repeats
    )
    part = len(trial.trunk.blocks) / trial.blocks
    forward = [block / part + end for block, end in zip(blocks, ends, strict=True)]
    linear = [one / part for one in linears]
    weight_flops, attention_flops = flops(
        trial.tokens.shape, trial.blocks, learned_key=modality not in LARGE_TRUNKS
    )
    shares = [ratio * (weight_flops + attention_flops) / weight_flops for ratio in ratios(linear, forward)]
    measured = "" if part == 1 else f", from {len(trial.trunk.blocks)} of {trial.blocks} blocks"
    return Row(
        section=SECTION,
        name=f"{modality}, {precision}, batch {size.batch}: share of nn.Linear's rate",
        value=median(shares),
        unit="",
        target=TARGET_LARGE_SHARE if modality in LARGE_TRUNKS else TARGET_SMALL_SHARE,
        detail=f"{median(forward):.2f} s, nn.Linear {weight_flops / median(linear) / GIGA:.0f} GFLOP/s"
        f"{measured}",
    )


def _compiled(size: Size, modality: ModalityType, trial: Trial) -> Row:
    other = replace(trial, model=copy.deepcopy(trial.model))
    other.model.compile()
    name = f"{modality}: speed-up by compile()"
    try:
        plain, compiled = by_turns([trial.run_blocks, other.run_blocks], repeats=size.repeats)
    except RuntimeError as error:  # torch raises it on a machine without a C++ compiler
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Row(section=SECTION, name=name, value=1.0, unit="x as fast", detail=f"not available: {reason}")
    return Row(
        section=SECTION,
        name=name,
        value=median(ratios(plain, compiled)),
        unit="x as fast",
        detail=f"{median(plain):.3f} s, then {median(compiled):.3f} s",
    )


def flops(shape: tuple[int, ...], blocks: int, *, learned_key: bool) -> tuple[int, int]:
    """Return the operations of the products with weights, and of those of attention, for tokens (b, l, d)."""
    rows, length, width = shape
    weights = 4 * width**2 + 2 * MLP_RATIO * width**2  # query, key, value, output; the two of the MLP
    keys = length + int(learned_key)
    return 2 * rows * length * weights * blocks, 4 * rows * length * keys * width * blocks


def example_input(config: ImageBindConfig, modality: ModalityType, batch: int) -> Tensor:
    """Return random input for a modality's stem; text has its full length."""
    generator = torch.Generator().manual_seed(0)
    if modality is ModalityType.TEXT:
        assert config.text is not None
        shape = (batch, config.text.context_length)
        return torch.randint(1, config.text.vocab_size, shape, generator=generator)
    return torch.randn(batch, *_shape(config, modality), generator=generator)


def _shape(config: ImageBindConfig, modality: ModalityType) -> tuple[int, ...]:
    match config.trunk(modality):
        case configs.VisionConfig(image_size=side):
            return 3, side, side
        case configs.AudioConfig(mel_bins=bins, mel_frames=frames):
            return 1, bins, frames
        case configs.OneChannelConfig(image_size=side):
            return 1, side, side
        case configs.ImuConfig(channels=channels, steps=steps):
            return channels, steps
    raise TypeError(f"no example of {modality}")
