"""A run in progress: the model on its devices, its optimiser, the training step, and checkpoints of both."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from imagebind.checkpoints.factory import save_model
from imagebind.errors import CheckpointError, ImageBindError
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.training.encoder import PairEncoder, build_losses, start_model, write_logit_scales
from imagebind.training.gradient_cache import cached_loss_step
from imagebind.training.optimizer import build_optimizer, set_learning_rate
from imagebind.training.random_state import preserved_random_state, seed_everything
from imagebind.training.ranks import (
    average_over_ranks,
    fastest_attention,
    is_sharded,
    join_ranks,
    no_sync,
    place,
    rank,
    unwrapped,
    wait_for_all_ranks,
)
from imagebind.training.recipe import Recipe
from imagebind.training.state import (
    ADAPTER_NAME,
    MODEL_NAME,
    newest_checkpoint,
    read_trainer,
    restore_random,
    save_checkpoint,
)

if TYPE_CHECKING:
    from peft import PeftModel

# Full state dicts are gathered on the CPU, whether the model is sharded or not.
FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)
TRAINABLE_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
# Not strict: a parameter that has had no gradient yet has no optimiser state.
RESTORED_STATE = StateDictOptions(full_state_dict=True, strict=False)
ENCODER_PREFIX = "model."  # of a model's parameter names in a PairEncoder
PEFT_PREFIX = "base_model.model."  # of a model's parameter names in a PeftModel


Inputs = Mapping[str, Tensor]  # {"vision": (b, ...), modality: (b, ...)}


class DivergedError(ImageBindError):
    """The loss or its gradient is not finite."""


@dataclass(kw_only=True)
class Run:
    """The state of a training run. Every method must be called on every rank.

    `step` is the number of optimiser steps made, `pair_counts` the number of pairs of each source.
    """

    recipe: Recipe
    device: torch.device
    encoder: Any  # a PairEncoder, wrapped by DDP or sharded by FSDP2
    adapter: "PeftModel | None"
    losses: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    temperature_optimizer: torch.optim.Optimizer | None
    step: int = 0
    pair_counts: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> ImageBindModel:
        """The unwrapped model on this rank."""
        return unwrapped(self.encoder).model

    def update(
        self, pair: str, modality: str, inputs: Inputs | Sequence[Inputs], lr: float
    ) -> tuple[float, float]:
        """Make one step on a batch; return the mean loss over all ranks and the gradient norm.

        `pair` is the name of the batch's `PairRecipe`. A batch in several chunks uses gradient caching, with
        one chunk at a time on the device.

        Raises:
            DivergedError: the loss or the norm is not finite; raised on all ranks, before weights change.
        """
        chunks = [inputs] if isinstance(inputs, Mapping) else inputs
        optimizers = [self.optimizer, *filter(None, [self.temperature_optimizer])]
        for optimizer in optimizers:
            set_learning_rate(optimizer, lr)
            optimizer.zero_grad(set_to_none=True)
        # In every step: doing it only at checkpoints would change the rounding of later embeddings.
        write_logit_scales(self.model, self.recipe.pairs, self.losses)
        self.encoder.train()
        with fastest_attention(self.device):  # also for recomputed blocks in the backward pass
            loss = self._backward(chunks, modality, self.losses[pair])
        norm = self._clip()
        average_over_ranks(loss)
        mean = loss.item()
        self._check_finite(pair, mean, norm)
        for optimizer in optimizers:
            optimizer.step()
        self.step += 1
        return mean, norm

    def _backward(self, chunks: Sequence[Inputs], modality: str, loss_fn: nn.Module) -> Tensor:
        if len(chunks) > 1:
            return cached_loss_step(
                partial(self._encode, modality=modality),
                chunks,
                loss_fn,
                no_sync=partial(no_sync, self.encoder),
            )
        loss = loss_fn(*self._encode(chunks[0], modality))
        loss.backward()
        return loss.detach()

    def _encode(self, inputs: Inputs, modality: str) -> tuple[Tensor, Tensor]:
        inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in inputs.items()}
        with self._autocast():
            vision, other = self.encoder(inputs, modality)
        return vision.float(), other.float()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.recipe.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _clip(self) -> float:
        """Clip the encoder's gradients and average those of temperatures; return the norm before clipping."""
        for parameter in self.losses.parameters():
            if parameter.grad is not None:
                average_over_ranks(parameter.grad)
        limit = self.recipe.optimizer.clip_grad_norm
        norm = nn.utils.clip_grad_norm_(self.encoder.parameters(), float("inf") if limit is None else limit)
        return (norm.full_tensor() if hasattr(norm, "full_tensor") else norm).item()  # a DTensor with FSDP2

    def _check_finite(self, pair: str, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise DivergedError(
                    f"step {self.step + 1}, {pair}: expected a finite {name}, got {value}; use a lower "
                    "learning rate, a longer warm-up, or data without NaN and infinity"
                )

    @contextmanager
    def evaluating(self) -> Iterator[ImageBindModel]:
        """Yield the model in evaluation mode; the random number generators are restored afterwards."""
        self.encoder.eval()
        if is_sharded(self.encoder):
            self.encoder.unshard()  # stems and heads; blocks unshard themselves when they are called
        try:
            with preserved_random_state(), torch.no_grad(), self._autocast():
                yield self.model
        finally:
            if is_sharded(self.encoder):
                self.encoder.reshard()

    def save(self, folder: Path) -> Path:
        """Write a checkpoint after this step.

        Raises:
            CheckpointError: the checkpoint cannot be written.
        """
        write_logit_scales(self.model, self.recipe.pairs, self.losses)
        entries = self._entries()
        trainer = {
            "recipe": self.recipe.identity(),
            "pairs": self.pair_counts,
            "losses": self.losses.state_dict(),
            "optimizer": get_optimizer_state_dict(self.encoder, self.optimizer, options=FULL_STATE),
            "temperatures": self.temperature_optimizer and self.temperature_optimizer.state_dict(),
        }
        return save_checkpoint(
            folder,
            self.step,
            trainer=trainer,
            write_model=lambda unfinished: self._write_model(entries, unfinished),
            keep=self.recipe.keep_checkpoints,
        )

    def export(self, output: Path, checkpoints: Path) -> tuple[Path, Path | None]:
        """Write the model for `load_model`, and with LoRA also its adapter; return both folders."""
        entries = self._entries()
        model, adapter = output / MODEL_NAME, output / ADAPTER_NAME if self.adapter is not None else None
        if rank() == 0 and self.adapter is None:
            save_model(self.model, model, state_dict=entries)
        elif rank() == 0:
            self._write_model(entries, output)
            _, reloaded = start_model(self.recipe, newest_checkpoint(checkpoints))
            merged = reloaded.merge_and_unload()  # type: ignore[union-attr]
            write_logit_scales(merged, self.recipe.pairs, self.losses)
            save_model(merged, model)
        wait_for_all_ranks()
        return model, adapter

    def load(self, checkpoint: Path, trainer: Mapping[str, Any]) -> None:
        """Restore everything but the model's weights from a checkpoint; `start_model` has loaded those."""
        set_optimizer_state_dict(self.encoder, self.optimizer, trainer["optimizer"], options=RESTORED_STATE)
        self._drop_other_state(trainer["optimizer"]["state"])
        if self.temperature_optimizer is not None:
            self.temperature_optimizer.load_state_dict(trainer["temperatures"])
        self.losses.load_state_dict(trainer["losses"])
        self.step = trainer["step"]
        self.pair_counts = trainer.get("pairs", {})
        restore_random(checkpoint, seed=self.recipe.seed, step=self.step)

    def record_pair_counts(self, pair_counts: Mapping[str, int]) -> None:
        """Store how many pairs each source has; their order, and a length in epochs, depend on it.

        Raises:
            CheckpointError: the interrupted run had another number of pairs.
        """
        for name, count in pair_counts.items():
            before = self.pair_counts.get(name, count)
            if count != before:
                raise CheckpointError(
                    f"{self.recipe.output}: data of {name}: expected {before:,} pairs, as in the interrupted "
                    f"run, got {count:,}; give this run another output"
                )
        self.pair_counts = dict(pair_counts)

    def _drop_other_state(self, saved: Mapping[str, Any]) -> None:
        """Drop the optimiser state that torch initialised for parameters without state in the checkpoint."""
        for name, parameter in unwrapped(self.encoder).named_parameters():
            if name not in saved:
                self.optimizer.state.pop(parameter, None)

    def _entries(self) -> dict[str, Any]:
        """Return the model's state dict, complete on rank 0; with LoRA only the adapter's entries."""
        options = FULL_STATE if self.adapter is None else TRAINABLE_STATE
        entries = get_model_state_dict(self.encoder, options=options)
        return {name.removeprefix(ENCODER_PREFIX): tensor for name, tensor in entries.items()}

    def _write_model(self, entries: dict[str, Any], folder: Path) -> None:
        if self.adapter is None:
            save_model(self.model, folder / MODEL_NAME, state_dict=entries)
        else:
            prefixed = {f"{PEFT_PREFIX}{name}": tensor for name, tensor in entries.items()}
            self.adapter.save_pretrained(str(folder / ADAPTER_NAME), state_dict=prefixed)


def start_run(recipe: Recipe, checkpoint: Path | None) -> Run:
    """Build a new run from a recipe, or restore it from a checkpoint.

    Raises:
        CheckpointError, ValueError, MissingExtraError: see `start_model`, `read_trainer`, `restore_random`
            and `build_optimizer`.
        RecipeError: see `place`.
    """
    # Read first, to fail on another recipe before building the model.
    trainer = None if checkpoint is None else read_trainer(checkpoint, recipe.identity())
    device = join_ranks()
    model, adapter = start_model(recipe, checkpoint)
    has_unused = _has_partial_steps(recipe, model)
    encoder = place(PairEncoder(model), device, recipe.sharding, has_unused=has_unused)
    losses = build_losses(recipe.pairs).to(device)
    temperatures = [parameter for parameter in losses.parameters() if parameter.requires_grad]
    run = Run(
        recipe=recipe,
        device=device,
        encoder=encoder,
        adapter=adapter,
        losses=losses,
        optimizer=build_optimizer(encoder.named_parameters(), recipe.optimizer),
        temperature_optimizer=(
            torch.optim.AdamW(temperatures, betas=recipe.optimizer.betas, weight_decay=0.0)
            if temperatures
            else None
        ),
    )
    seed_everything(recipe.seed, rank())  # dropout and drop path differ between ranks
    if checkpoint is not None and trainer is not None:
        run.load(checkpoint, trainer)
    return run


def _has_partial_steps(recipe: Recipe, model: ImageBindModel) -> bool:
    """Whether the steps of some `PairRecipe` give no gradient to some trainable parameters."""
    trainable = {
        name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    return any(trainable - {ModalityType.VISION.value, str(pair.modality)} for pair in recipe.pairs)
