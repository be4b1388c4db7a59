"""The model: a stem, trunk, head and postprocessor for each modality, into one embedding space.

The module tree is that of the released checkpoint, so a strict `load_state_dict(torch.load(path))` works.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from imagebind import config as configs
from imagebind.config import ImageBindConfig
from imagebind.modality import ModalityType
from imagebind.models.builders import build_modality
from imagebind.models.stems import StemOutput
from imagebind.models.transformer import Trunk

torch.serialization.add_safe_globals([ModalityType])  # it is the key of saved dicts of embeddings


def _takes_original_sizes(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor take the original's sizes as keyword arguments instead of `config`.

    The visible signature has no `**sizes`: huggingface_hub reads the signature to restore a config, and
    `**sizes` would prevent this.
    """

    @wraps(init)
    def with_sizes(
        self: nn.Module,
        config: ImageBindConfig | None = None,
        *,
        modalities=None,
        device=None,
        dtype=None,
        **sizes,
    ) -> None:
        if sizes:
            if config is not None:
                raise TypeError(
                    f"sizes: expected a config or sizes as keyword arguments, got both: {', '.join(sizes)}"
                )
            config = configs.original_sizes(**sizes)
        init(self, config, modalities=modalities, device=device, dtype=dtype)

    return with_sizes


class ImageBindModel(nn.Module):
    """Embed six modalities in one space: {modality: tensor} -> {modality: (b, e)}.

    `config` sets the sizes; `modalities` selects some of its trunks. A new model is initialised as in the
    paper, except on the meta device, where weights are to be assigned later.
    """

    @_takes_original_sizes
    def __init__(
        self,
        config: ImageBindConfig | None = None,
        *,
        modalities: Iterable[ModalityType | str] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Build `config`, by default the released sizes; `self.config` has only the selected trunks.

        The original's size arguments, as in `ImageBindModel(vision_embed_dim=64, ...)`, may be given instead
        of a config, with the defaults of `config.original_sizes`.

        Raises:
            TypeError: a config together with sizes, or an unknown size.
            ValueError: no modality, an unknown one, or one without a trunk in the config.
        """
        super().__init__()
        config = config if config is not None else configs.huge_config()
        selected = _selected(config, modalities)
        self.config = config.only(selected)  # saved with the weights, so it must describe only these
        self.modality_preprocessors = nn.ModuleDict()
        self.modality_trunks = nn.ModuleDict()
        self.modality_heads = nn.ModuleDict()
        self.modality_postprocessors = nn.ModuleDict()
        with torch.device("meta"), _SkipInitialisation():
            for modality in selected:
                parts = build_modality(modality, self.config.trunk(modality), self.config.embed_dim)
                self.modality_preprocessors[modality.value] = parts.stem
                self.modality_trunks[modality.value] = parts.trunk
                self.modality_heads[modality.value] = parts.head
                self.modality_postprocessors[modality.value] = parts.postprocessor
        device = _default_device() if device is None else torch.device(device)
        self.to(dtype=dtype)
        if device.type != "meta":
            self.to_empty(device=device)
            init_weights(self)
        if type(self).__init__ is ImageBindModel.__init__:
            self._hub_mixin_config = self.config  # PyTorchModelHubMixin of huggingface_hub saves it

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of this model, including those that a subclass adds."""
        return tuple(self.modality_trunks)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Embed tensors by modality: {modality: (b, ...)} -> {modality: (b, e)}.

        Vision takes images (b, 3, h, w), video clips (b, s, 3, 2, h, w) or image clips (b, s, 3, h, w); text
        takes token ids (b, l); audio (b, [s,] 1, 128, 204); depth and thermal (b, [s,] 1, 224, 224); imu
        (b, 6, 2000). Vision is scaled to unit length, the others to a logit scale; then the s clips are
        averaged. `Embedder.encode` returns unit length for all. The returned keys are plain strings.

        Raises:
            KeyError: a modality that this model was built without.
            ValueError: a tensor of the wrong shape, or token ids in floating point.
        """
        return {str(modality): self.embed(modality, tensor) for modality, tensor in inputs.items()}

    def embed(self, modality: str, inputs: Tensor) -> Tensor:
        """Embed a tensor of one modality, as `forward` does: (b, ...) -> (b, e)."""
        inputs, clips = _fold_clips(modality, inputs)
        if modality == ModalityType.TEXT:
            inputs = _trim(inputs)
        tokens, head_inputs = self._run_trunk(modality, inputs)
        head, postprocessor = self.modality_heads[modality], self.modality_postprocessors[modality]
        embeddings = postprocessor(head(tokens, **head_inputs))
        if clips is None:
            return embeddings
        # Source: released. Scaled before the mean, and not normalised after it.
        return embeddings.reshape(-1, clips, embeddings.shape[1]).mean(dim=1)  # (b·s, e) -> (b, e)

    def forward_features(self, modality: str, inputs: Tensor) -> Tensor:
        """Return all tokens after the trunk, for clips folded into the batch: (b·s, ...) -> (b·s, l, d)."""
        return self._run_trunk(modality, inputs)[0]

    def _run_trunk(self, modality: str, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the tokens after the trunk, and the stem's keyword arguments for the head."""
        if modality not in self.modality_trunks:
            raise KeyError(
                f"modality: expected one of {', '.join(self.modalities)}, got {modality}; "
                f"build the model with modalities=[..., {str(modality)!r}]"
            )
        prepared: StemOutput | Tensor = self.modality_preprocessors[modality](inputs)
        trunk = self.modality_trunks[modality]
        if isinstance(prepared, Tensor):  # a stem written by users may return tokens alone
            return trunk(prepared), {}
        return trunk(**prepared["trunk"]), prepared["head"]

    def compile(  # type: ignore[override]  # names the options, which `nn.Module.compile` does not
        self,
        *,
        fullgraph: bool = False,
        dynamic: bool | None = None,
        backend: str | Callable = "inductor",
        mode: str | None = None,
        options: dict[str, Any] | None = None,
        disable: bool = False,
    ) -> None:
        """Compile the trunks in place, block by block, so that equal blocks share one compilation.

        The options are those of `torch.compile`. Trunks of classes other than `Trunk` are compiled whole.
        """
        for trunk in self.modality_trunks.values():
            for block in trunk.blocks if isinstance(trunk, Trunk) else [trunk]:
                block.compile(
                    fullgraph=fullgraph,
                    dynamic=dynamic,
                    backend=backend,
                    mode=mode,
                    options=options,
                    disable=disable,
                )


def _default_device() -> torch.device:
    """Return the device of new layers: meta in `accelerate.init_empty_weights`, else torch's default."""
    probe = nn.Module()
    probe.register_parameter("probe", nn.Parameter(torch.empty(0)))
    return next(probe.parameters()).device


class _SkipInitialisation(TorchFunctionMode):
    """Skip the functions of `torch.nn.init` while layers are built; `init_weights` is called afterwards.

    To draw random numbers on the meta device, torch imports its compiler: two seconds and 160 MB.
    """

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def init_weights(module: nn.Module) -> None:
    """Initialise all weights of a module in place, such as a model or a modality that is added to one.

    Source: the paper's appendix, and timm where the paper says nothing.
    """
    module.apply(_init_module)


def _init_module(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        else:
            from timm.layers import lecun_normal_  # slow import, which loading weights does not need

            lecun_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()


def _selected(
    config: ImageBindConfig, modalities: Iterable[ModalityType | str] | None
) -> tuple[ModalityType, ...]:
    if modalities is None:
        return config.modalities
    requested = {ModalityType(modality) for modality in modalities}
    missing = requested - set(config.modalities)
    if missing or not requested:
        raise ValueError(
            f"modalities: expected some of {', '.join(config.modalities)}, got {sorted(map(str, requested))}"
        )
    return tuple(modality for modality in config.modalities if modality in requested)


def _fold_clips(modality: str, inputs: Tensor) -> tuple[Tensor, int | None]:
    """Fold clips into the batch: (b, s, ...) -> (b·s, ...) and s; without clips, the input and None.

    Source: released. Five dimensions or more mean clips, in every modality.
    """
    shape = tuple(inputs.shape)
    is_video_or_image = len(shape) in (4, 6) or (len(shape) == 5 and shape[2] == 3)
    if modality == ModalityType.VISION and not is_video_or_image:
        raise ValueError(
            "vision: expected images (b, 3, h, w), video clips (b, s, 3, 2, h, w) or image clips "
            f"(b, s, 3, h, w), got {shape}; pass videos (b, 3, 2, h, w) as video.unsqueeze(1)"
        )
    return (inputs.flatten(0, 1), shape[1]) if len(shape) >= 5 else (inputs, None)


def _trim(ids: Tensor) -> Tensor:
    """Drop the columns after the batch's last end-of-text token: (b, l) -> (b, l').

    The text trunk is causal, so this changes no embedding. Ids on an accelerator are not trimmed, since
    reading them would wait for it (`Embedder` trims before the copy). Neither are ids in a compiled, exported
    or traced graph, since reading them would break the graph or fix its length.
    """
    if ids.ndim != 2 or ids.numel() == 0 or ids.device.type != "cpu":
        return ids
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return ids
    return ids[:, : int(ids.argmax(dim=1).max()) + 1]
