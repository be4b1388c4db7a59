"""A run in progress: the model on its devices, its optimiser, one step, and how both are written and read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from imagebind.checkpoints.factory import save_model
from imagebind.errors import CheckpointError, ImageBindError
from imagebind.losses import world_size
from imagebind.models.model import ImageBindModel
from imagebind.training.encoder import PairEncoder, build_losses, write_logit_scales
from imagebind.training.gradient_cache import cached_loss_step
from imagebind.training.optimizer import build_optimizer, set_learning_rate
from imagebind.training.random_state import seed_everything, undisturbed
from imagebind.training.recipe import Recipe
from imagebind.training.setup import is_sharded, make_accelerator, place, quick_attention, start_model
from imagebind.training.state import (
    ADAPTER_NAME,
    MODEL_NAME,
    newest_checkpoint,
    read_trainer,
    restore_random,
    save_checkpoint,
)

if TYPE_CHECKING:
    from accelerate import Accelerator
    from peft import PeftModel

# Names and tensors of a whole model, on the CPU, wherever its parts are.
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
LEARNED = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
# Not strict: what no batch has reached yet has no state in the optimiser.
RESTORED = StateDictOptions(full_state_dict=True, strict=False)
ENCODER_PREFIX = "model."  # of a model's names in a PairEncoder
PEFT_PREFIX = "base_model.model."  # of the same in a PeftModel


Inputs = Mapping[str, Tensor]  # of some pairs: {"vision": (b, ...), modality: (b, ...)}


class DivergedError(ImageBindError):
    """The loss or its gradient is no longer a finite number."""


@dataclass(kw_only=True)
class Run:
    """`step` counts updates that were made, `pairs` those of each source. Every rank calls every method."""

    recipe: Recipe
    accelerator: "Accelerator"
    encoder: Any  # a PairEncoder, wrapped by DDP or split by FSDP2
    adapter: "PeftModel | None"
    losses: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    temperature_optimizer: torch.optim.Optimizer | None
    step: int = 0
    pairs: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> ImageBindModel:
        """The model itself, as it is on this rank."""
        return self.accelerator.unwrap_model(self.encoder).model

    def update(
        self, pair: str, modality: str, inputs: Inputs | Sequence[Inputs], lr: float
    ) -> tuple[float, float]:
        """One step on a batch of a kind of pair; returns the loss over all ranks and the gradient's norm.

        A batch in several chunks goes by gradient caching, and one chunk at a time is on the device.

        Raises:
            DivergedError: one of these is no finite number, on all ranks alike; no weight has changed then.
        """
        chunks = [inputs] if isinstance(inputs, Mapping) else inputs
        optimizers = [self.optimizer, *filter(None, [self.temperature_optimizer])]
        for optimizer in optimizers:
            set_learning_rate(optimizer, lr)
            optimizer.zero_grad(set_to_none=True)
        # In every step: at checkpoints alone it would change how embeddings are rounded from there on.
        write_logit_scales(self.model, self.recipe.pairs, self.losses)
        self.encoder.train()
        with quick_attention(self.accelerator.device):  # backward too: checkpointed blocks are computed again
            loss = self._backward(chunks, modality, self.losses[pair])
        norm = self._clip()
        mean = self.accelerator.reduce(loss, reduction="mean").item()
        self._check_finite(pair, mean, norm)
        for optimizer in optimizers:
            optimizer.step()
        self.step += 1
        return mean, norm

    def _backward(self, chunks: Sequence[Inputs], modality: str, loss_fn: nn.Module) -> Tensor:
        if len(chunks) > 1:
            return cached_loss_step(
                lambda chunk: self._encode(chunk, modality), chunks, loss_fn, no_sync=self._no_sync
            )
        loss = loss_fn(*self._encode(chunks[0], modality))
        loss.backward()
        return loss.detach()

    def _encode(self, inputs: Inputs, modality: str) -> tuple[Tensor, Tensor]:
        device = self.accelerator.device
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        with self.accelerator.autocast():
            return self.encoder(inputs, modality)

    @contextmanager
    def _no_sync(self) -> Iterator[None]:
        """Gradients add up on each rank, without being exchanged."""
        if not is_sharded(self.encoder):
            with self.accelerator.no_sync(self.encoder):
                yield
            return
        self.encoder.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.encoder.set_requires_gradient_sync(True)

    def _clip(self) -> float:
        """Clip the encoders' gradients, and average the temperatures' over ranks; returns the norm before."""
        for parameter in self.losses.parameters():
            if parameter.grad is not None and world_size() > 1:
                dist.all_reduce(parameter.grad)
                parameter.grad /= world_size()
        limit = self.recipe.optimizer.clip_grad_norm
        norm = nn.utils.clip_grad_norm_(self.encoder.parameters(), float("inf") if limit is None else limit)
        return (norm.full_tensor() if hasattr(norm, "full_tensor") else norm).item()  # FSDP2's is spread

    def _check_finite(self, pair: str, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                raise DivergedError(
                    f"step {self.step + 1}, {pair}: the {name} is {value}; use a lower learning rate, a "
                    "longer warm-up, or data without such numbers"
                )

    @contextmanager
    def evaluating(self) -> Iterator[ImageBindModel]:
        """The model to be evaluated; what is drawn meanwhile changes no later step."""
        self.encoder.eval()
        if is_sharded(self.encoder):
            self.encoder.unshard()  # the stems and heads; blocks do it when they are called
        try:
            with undisturbed(), torch.no_grad(), self.accelerator.autocast():
                yield self.model
        finally:
            if is_sharded(self.encoder):
                self.encoder.reshard()

    def save(self, folder: Path) -> Path:
        """Write a checkpoint after this step.

        Raises:
            CheckpointError: it cannot be written.
        """
        write_logit_scales(self.model, self.recipe.pairs, self.losses)
        entries = self._entries()
        trainer = {
            "recipe": self.recipe.identity(),
            "pairs": self.pairs,
            "losses": self.losses.state_dict(),
            "optimizer": get_optimizer_state_dict(self.encoder, self.optimizer, options=WHOLE),
            "temperatures": self.temperature_optimizer and self.temperature_optimizer.state_dict(),
        }
        return save_checkpoint(
            folder,
            self.step,
            trainer=trainer,
            write_model=lambda unfinished: self._write_model(entries, unfinished),
            rank=self.accelerator.process_index,
            barrier=self.accelerator.wait_for_everyone,
            keep=self.recipe.keep_checkpoints,
        )

    def export(self, output: Path, checkpoints: Path) -> tuple[Path, Path | None]:
        """Write the model for `load_model`, and with LoRA its adapter beside it; returns both folders."""
        entries = self._entries()
        model, adapter = output / MODEL_NAME, output / ADAPTER_NAME if self.adapter is not None else None
        if self.accelerator.is_main_process and self.adapter is None:
            save_model(self.model, model, state_dict=entries)
        elif self.accelerator.is_main_process:
            self._write_model(entries, output)
            _, fresh = start_model(self.recipe, newest_checkpoint(checkpoints))
            merged = fresh.merge_and_unload()  # type: ignore[union-attr]
            write_logit_scales(merged, self.recipe.pairs, self.losses)
            save_model(merged, model)
        self.accelerator.wait_for_everyone()
        return model, adapter

    def load(self, checkpoint: Path) -> None:
        """Go on as a checkpoint left off; the model's own weights are there already."""
        trainer = read_trainer(checkpoint, self.recipe.identity())
        set_optimizer_state_dict(self.encoder, self.optimizer, trainer["optimizer"], options=RESTORED)
        self._forget_all_but(trainer["optimizer"]["state"])
        if self.temperature_optimizer is not None:
            self.temperature_optimizer.load_state_dict(trainer["temperatures"])
        self.losses.load_state_dict(trainer["losses"])
        self.step = trainer["step"]
        self.pairs = trainer.get("pairs", {})
        restore_random(checkpoint, rank=self.accelerator.process_index, seed=self.recipe.seed, step=self.step)

    def hold_to(self, pairs: Mapping[str, int]) -> None:
        """Say how many pairs each source has: their order and the run's length follow from it.

        Raises:
            CheckpointError: the run that goes on had another number.
        """
        for name, count in pairs.items():
            before = self.pairs.get(name, count)
            if count != before:
                raise CheckpointError(
                    f"{self.recipe.output}: data of {name} has {count:,} pairs, the run that stopped had "
                    f"{before:,}; expected the same data. Give this run another output"
                )
        self.pairs = dict(pairs)

    def _forget_all_but(self, saved: Mapping[str, Any]) -> None:
        """Drop the optimiser's state of parameters by other names: torch fills it in by a step of its own."""
        for name, parameter in self.accelerator.unwrap_model(self.encoder).named_parameters():
            if name not in saved:
                self.optimizer.state.pop(parameter, None)

    def _entries(self) -> dict[str, Any]:
        """The model's state dict, gathered and complete on rank 0; with LoRA what was added alone."""
        options = WHOLE if self.adapter is None else LEARNED
        entries = get_model_state_dict(self.encoder, options=options)
        return {name.removeprefix(ENCODER_PREFIX): tensor for name, tensor in entries.items()}

    def _write_model(self, entries: dict[str, Any], folder: Path) -> None:
        if self.adapter is None:
            save_model(self.model, folder / MODEL_NAME, state_dict=entries)
        else:
            prefixed = {f"{PEFT_PREFIX}{name}": tensor for name, tensor in entries.items()}
            self.adapter.save_pretrained(str(folder / ADAPTER_NAME), state_dict=prefixed)


def start_run(recipe: Recipe, checkpoint: Path | None) -> Run:
    """Build what the recipe describes, as new or as a checkpoint left it.

    Raises:
        CheckpointError, ValueError, MissingExtraError: as `start_model` and `read_trainer`.
    """
    if checkpoint is not None:
        read_trainer(checkpoint, recipe.identity())  # a checkpoint of another recipe is told at once
    model, adapter = start_model(recipe, checkpoint)
    accelerator = make_accelerator(recipe, model)
    encoder = place(PairEncoder(model), recipe, accelerator)
    losses = build_losses(recipe.pairs).to(accelerator.device)
    temperatures = [parameter for parameter in losses.parameters() if parameter.requires_grad]
    run = Run(
        recipe=recipe,
        accelerator=accelerator,
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
    seed_everything(recipe.seed, accelerator.process_index)  # ranks drop other paths
    if checkpoint is not None:
        run.load(checkpoint)
    return run
