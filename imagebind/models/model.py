"""The model: per modality a preprocessor, a trunk, a head and a postprocessor, into one space.

The module tree is the released checkpoint's, so `model.load_state_dict(torch.load(path))` is strict.
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
from imagebind.models.builders import build_parts
from imagebind.models.stems import StemOutput
from imagebind.models.transformer import Trunk

torch.serialization.add_safe_globals([ModalityType])  # embeddings are saved in dicts that it is the keys of


def _takes_original_sizes(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor take the original's sizes by name in the place of `config`.

    Its signature stays, for huggingface_hub reads it: with `**sizes` there, it fails to restore a config.
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
                raise TypeError(f"expected a config or sizes by name, got both: {', '.join(sizes)}")
            config = configs.original_sizes(**sizes)
        init(self, config, modalities=modalities, device=device, dtype=dtype)

    return with_sizes


class ImageBindModel(nn.Module):
    """Six modalities into one space: {modality: tensor} -> {modality: (b, e)}.

    Build any size from a config, and with `modalities` only some of its trunks. A new model is
    initialised as in the paper; on the meta device it is only built, for weights to be assigned.
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
        """Build `config`, by default the released sizes; `self.config` keeps those of the chosen trunks.

        Sizes by the original's names, as in `ImageBindModel(vision_embed_dim=64, ...)`, take the place of a
        config, with the defaults of `config.original_sizes`.

        Raises:
            TypeError: a config and sizes, or a size of another name.
            ValueError: a modality that is none, or that the config has no trunk for.
        """
        super().__init__()
        config = config if config is not None else configs.huge_config()
        chosen = _chosen(config, modalities)
        self.config = config.only(chosen)  # what is saved along with the weights has to speak of them alone
        self.modality_preprocessors = nn.ModuleDict()
        self.modality_trunks = nn.ModuleDict()
        self.modality_heads = nn.ModuleDict()
        self.modality_postprocessors = nn.ModuleDict()
        with torch.device("meta"), _Undrawn():
            for modality in chosen:
                parts = build_parts(modality, self.config.trunk(modality), self.config.embed_dim)
                self.modality_preprocessors[modality.value] = parts.preprocessor
                self.modality_trunks[modality.value] = parts.trunk
                self.modality_heads[modality.value] = parts.head
                self.modality_postprocessors[modality.value] = parts.postprocessor
        device = _default_device() if device is None else torch.device(device)
        self.to(dtype=dtype)
        if device.type != "meta":
            self.to_empty(device=device)
            init_weights(self)
        if type(self).__init__ is ImageBindModel.__init__:
            self._hub_mixin_config = self.config  # what huggingface_hub's PyTorchModelHubMixin saves

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that this model has, a subclass's own included."""
        return tuple(self.modality_trunks)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Embed tensors by modality: {modality: (b, ...)} -> {modality: (b, e)}.

        Vision takes (b, 3, h, w), or clips (b, s, 3, 2, h, w), or clips of stills (b, s, 3, h, w); text
        token ids (b, l); audio (b, [s,] 1, 128, 204); depth and thermal (b, [s,] 1, 224, 224); imu
        (b, 6, 2000). Clips s are averaged. All but vision come out scaled; `Embedder.encode` gives unit
        length. The keys returned are plain strings.

        Raises:
            KeyError: a modality that this model was not built with.
            ValueError: a tensor of another shape.
        """
        return {str(modality): self.embed(modality, tensor) for modality, tensor in inputs.items()}

    def embed(self, modality: str, inputs: Tensor) -> Tensor:
        """One modality of `forward`: (b, ...) -> (b, e)."""
        inputs, clips = _fold_clips(modality, inputs)
        if modality == ModalityType.TEXT:
            inputs = _trim(inputs)
        tokens, head_inputs = self._run_stem_and_trunk(modality, inputs)
        head, postprocessor = self.modality_heads[modality], self.modality_postprocessors[modality]
        embeddings = postprocessor(head(tokens, **head_inputs))
        if clips is None:
            return embeddings
        # As released: scaled before the mean, and not brought back to unit length after it.
        return embeddings.reshape(-1, clips, embeddings.shape[1]).mean(dim=1)  # (b·s, e) -> (b, e)

    def forward_features(self, modality: str, inputs: Tensor) -> Tensor:
        """Every token after the trunk, clips folded into the batch: (b·s, ...) -> (b·s, l, d)."""
        return self._run_stem_and_trunk(modality, inputs)[0]

    def _run_stem_and_trunk(self, modality: str, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The tokens after the trunk, and what the preprocessor has for the head beside them."""
        if modality not in self.modality_trunks:
            raise KeyError(
                f"this model was built with {', '.join(self.modalities)}, not with {modality}; "
                f"build it with modalities=[..., {str(modality)!r}]"
            )
        stem: StemOutput | Tensor = self.modality_preprocessors[modality](inputs)
        trunk = self.modality_trunks[modality]
        if isinstance(stem, Tensor):  # a user's preprocessor may return its tokens alone
            return trunk(stem), {}
        return trunk(**stem["trunk"]), stem["head"]

    def compile(  # type: ignore[override]  # the options of torch.compile that suit a trunk
        self,
        *,
        fullgraph: bool = False,
        dynamic: bool | None = None,
        backend: str | Callable = "inductor",
        mode: str | None = None,
        options: dict[str, Any] | None = None,
        disable: bool = False,
    ) -> None:
        """Compile the trunks in place, block by block: blocks alike share one compilation.

        The options are `torch.compile`'s. A trunk of another kind is compiled whole.
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
    """Where a new layer lands: meta within `accelerate.init_empty_weights`, else torch's default device."""
    probe = nn.Module()
    probe.register_parameter("probe", nn.Parameter(torch.empty(0)))
    return next(probe.parameters()).device


class _Undrawn(TorchFunctionMode):
    """Layers are made without being initialised: building is not initialising.

    For a draw on the meta device torch imports its compiler, which takes two seconds and 160 MB.
    """

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def init_weights(module: nn.Module) -> None:
    """Draw every weight of a model, or of a part that is added to one, anew.

    Source: the paper's appendix, where it says; else as timm does.
    """
    module.apply(_init_module)


def _init_module(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        else:
            from timm.layers import lecun_normal_  # here: it is slow to import, and loading does not draw

            lecun_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()


def _chosen(
    config: ImageBindConfig, modalities: Iterable[ModalityType | str] | None
) -> tuple[ModalityType, ...]:
    if modalities is None:
        return config.modalities
    wanted = {ModalityType(modality) for modality in modalities}
    missing = wanted - set(config.modalities)
    if missing or not wanted:
        raise ValueError(
            f"modalities: expected some of {', '.join(config.modalities)}, got {sorted(map(str, wanted))}"
        )
    return tuple(modality for modality in config.modalities if modality in wanted)


def _fold_clips(modality: str, inputs: Tensor) -> tuple[Tensor, int | None]:
    """Clips into the batch: (b, s, ...) -> (b·s, ...) and s; what has none comes back as it is, with None.

    As released: five dimensions or more are clips, of every modality.
    """
    shape = tuple(inputs.shape)
    is_video_or_still = len(shape) in (4, 6) or (len(shape) == 5 and shape[2] == 3)
    if modality == ModalityType.VISION and not is_video_or_still:
        raise ValueError(
            "vision expected stills (b, 3, h, w), clips of video (b, s, 3, 2, h, w) or clips of stills "
            f"(b, s, 3, h, w), got {shape}; a video (b, 3, 2, h, w) is one clip: video.unsqueeze(1)"
        )
    return (inputs.flatten(0, 1), shape[1]) if len(shape) >= 5 else (inputs, None)


def _trim(ids: Tensor) -> Tensor:
    """Leave out what no row needs: a causal trunk sees nothing after its last end-of-text. (b, l) -> (b, l').

    Only where looking at the ids is free and right: an accelerator would have to be waited for, a compiled
    or exported graph be broken, and a traced one would keep this length. `Embedder` trims before the copy.
    """
    if ids.ndim != 2 or ids.numel() == 0 or ids.device.type != "cpu":
        return ids
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return ids
    return ids[:, : int(ids.argmax(dim=1).max()) + 1]
