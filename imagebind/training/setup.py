"""Builds a recipe's model with its weights, and the accelerate object that places it on devices."""

import atexit
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from imagebind.checkpoints.loading import load_into
from imagebind.config import ImageBindConfig
from imagebind.device import best_device
from imagebind.errors import import_extra
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.models.transformer import Block, Trunk
from imagebind.training.encoder import PairEncoder
from imagebind.training.random_state import seed_everything
from imagebind.training.recipe import OpenClipWeights, Recipe, RecipeError
from imagebind.training.state import ADAPTER_NAME, MODEL_NAME
from imagebind.training.tuning import Lora, freeze_but, import_peft

if TYPE_CHECKING:
    from accelerate import Accelerator
    from peft import PeftModel

GROUP_LEAVING_SECONDS = 0.05
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16"}  # our name: accelerate's name


def start_model(recipe: Recipe, checkpoint: Path | None) -> "tuple[ImageBindModel, PeftModel | None]":
    """Return the model on the CPU with its initial or its checkpoint's weights, and peft's model with LoRA.

    Raises:
        CheckpointError: weights cannot be read, or do not fit this model.
        ValueError: the recipe has modalities that the model lacks.
        MissingExtraError: open_clip or peft is not installed.
    """
    seed_everything(recipe.seed)  # the same initial weights on every rank
    config = recipe.model
    model = ImageBindModel(config, device="cpu") if isinstance(config, ImageBindConfig) else config()
    recipe.check_modalities(model.modalities)
    checkpoint_has_model = checkpoint is not None and not isinstance(recipe.learns, Lora)
    if not checkpoint_has_model:
        _load_weights(model, recipe)
    adapter = freeze_but(model, recipe.learns)
    if checkpoint is not None and adapter is not None:
        _load_adapter(adapter, checkpoint / ADAPTER_NAME)
    elif checkpoint is not None:
        load_into(model, checkpoint / MODEL_NAME)
    for trunk in model.modality_trunks.values():
        if isinstance(trunk, Trunk):
            trunk.set_grad_checkpointing(recipe.grad_checkpointing)
    return model, adapter


def make_accelerator(recipe: Recipe, model: ImageBindModel) -> "Accelerator":
    """Return accelerate's object for one device, or for one rank that torchrun or accelerate started."""
    from accelerate import Accelerator, DistributedDataParallelKwargs

    ddp = DistributedDataParallelKwargs(
        find_unused_parameters=_has_partial_steps(recipe, model),
        broadcast_buffers=False,  # buffers are constants
    )
    return Accelerator(
        cpu=best_device() == "cpu",  # otherwise accelerate treats ranks without a GPU as single processes
        mixed_precision=MIXED_PRECISION[recipe.precision],
        log_with=list(recipe.trackers) or None,
        project_dir=str(recipe.output),
        kwargs_handlers=[ddp],
    )


def place(encoder: PairEncoder, recipe: Recipe, accelerator: "Accelerator") -> Any:
    """Move the encoder to this rank's device, whole, or with FSDP2 as shards of its tensors.

    FSDP2's units are each transformer block, and all other parameters together. torch's own API is used,
    because accelerate supports FSDP2 only on GPUs. Scalars cannot be sharded; the only ones are logit scales,
    which are not trainable.
    """
    if recipe.sharding != "fsdp2" or accelerator.num_processes == 1:
        return accelerator.prepare(encoder)
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise RecipeError(
            f'sharding = "fsdp2": expected torch 2.6 or newer, got {torch.__version__}'
        ) from error
    encoder = encoder.to(accelerator.device)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in [module for module in encoder.modules() if isinstance(module, Block)]:
        fully_shard(block, mesh=mesh)
    return fully_shard(encoder, mesh=mesh, ignored_params={p for p in encoder.parameters() if p.ndim == 0})


def fastest_attention(device: torch.device) -> AbstractContextManager[None]:
    """Select the attention kernel that trains fastest on a device: on a CPU plain matrix products.

    On a CPU the backward pass of the fused kernel took a third of a step with sequences of 50 tokens.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def is_sharded(encoder: nn.Module) -> bool:
    """Whether FSDP2 has sharded a module; its class has no importable name before torch 2.6."""
    return hasattr(encoder, "set_requires_gradient_sync")


@contextmanager
def own_accelerate_state() -> Iterator[None]:
    """Reset accelerate's global state afterwards, since a later run may use another precision.

    The process group is created by the first run and destroyed when the process ends. A second group would
    use the launcher's store too, where a rank could still find the addresses of the first one.
    """
    from accelerate.state import AcceleratorState, GradientState, PartialState

    was_used = bool(PartialState._shared_state)
    had_group = dist.is_available() and dist.is_initialized()
    try:
        yield
    finally:
        if not was_used:
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()
        if not had_group and dist.is_available() and dist.is_initialized():
            atexit.register(_leave_group)


def _leave_group() -> None:
    """Leave the process group before the interpreter shuts down."""
    if dist.is_initialized():
        dist.destroy_process_group()
        # A gloo thread may still have to release objects of a backward pass. It needs the GIL for that, and
        # would abort the process during interpreter shutdown. Sleeping lets it run first.
        time.sleep(GROUP_LEAVING_SECONDS)


def import_accelerate() -> Any:
    """The accelerate package.

    Raises:
        MissingExtraError: it is not installed.
    """
    return import_extra("accelerate", extra="train", purpose="training")


def _has_partial_steps(recipe: Recipe, model: ImageBindModel) -> bool:
    """Whether the steps of some `PairRecipe` give no gradient to some trainable parameters."""
    trainable = {
        name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    return any(trainable - {ModalityType.VISION.value, str(pair.modality)} for pair in recipe.pairs)


def _load_weights(model: ImageBindModel, recipe: Recipe) -> None:
    for weights in recipe.weights:
        if isinstance(weights, OpenClipWeights):
            from imagebind.training.open_clip_weights import create_open_clip, load_open_clip

            load_open_clip(model, create_open_clip(weights.name, weights.pretrained))
        else:
            load_into(model, weights.source, modalities=weights.modalities)


def _load_adapter(adapter: "PeftModel", folder: Path) -> None:
    peft = import_peft()
    state = peft.load_peft_weights(str(folder), device="cpu")
    peft.set_peft_model_state_dict(adapter, state)
