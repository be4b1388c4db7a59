"""Image and text towers that start from an open_clip model, as the paper's did from ViT-H/14.

Both are the same function as open_clip's, with two things to know. Vision here sees two frames: open_clip's
patch kernel is spread over them, an equal part each, so that a still gives what it gave. And LayerNorm adds
1e-5 there, 1e-6 in the released ImageBind: `config_of` says so, and a model of the released sizes gives
slightly other numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from imagebind.config import ImageBindConfig, TextConfig, VisionConfig
from imagebind.errors import CheckpointError, MissingExtraError
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

# open_clip's names in a block: ours. Each has a weight and a bias.
BLOCK_NAMES = {
    "ln_1": "norm_1",
    "attn.out_proj": "attn.out_proj",
    "ln_2": "norm_2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
PARAMETERS = ("weight", "bias")
IN_PROJ = ("attn.in_proj_weight", "attn.in_proj_bias")
UNUSED = frozenset({"attn_mask", "logit_scale"})  # a constant; and the loss has its own


def create_open_clip(name: str, pretrained: str) -> nn.Module:
    """A model of open_clip with its weights, downloaded into its cache if need be.

    Raises:
        MissingExtraError: open_clip is not installed.
        CheckpointError: no such model or weights.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError(
            "open_clip_torch", extra="train", purpose="starting from open_clip"
        ) from error
    try:
        return open_clip.create_model(name, pretrained=pretrained)
    except Exception as error:  # its own, the hub's, its HTTP client's and the disk's
        raise CheckpointError(f"open_clip {name}, {pretrained}: {error}") from error


def config_of(clip: nn.Module, *, frames: int = 2) -> ImageBindConfig:
    """The sizes of an open_clip model's two towers, as a model here has them.

    Raises:
        CheckpointError: towers of another form than ViT-H/14's.
    """
    check_form(clip)
    entries = clip.state_dict()
    visual: Any = clip.visual
    text_blocks: Any = clip.transformer.resblocks  # type: ignore[union-attr]
    width, _, patch_size, _ = entries["visual.conv1.weight"].shape
    context_length, text_width = entries["positional_embedding"].shape
    return ImageBindConfig(
        embed_dim=entries["visual.proj"].shape[1],
        vision=VisionConfig(
            embed_dim=width,
            num_blocks=len(visual.transformer.resblocks),
            num_heads=visual.transformer.resblocks[0].attn.num_heads,
            image_size=visual.image_size[0],
            patch_size=patch_size,
            frames=frames,
            norm_eps=visual.ln_post.eps,
        ),
        text=TextConfig(
            embed_dim=text_width,
            num_blocks=len(text_blocks),
            num_heads=text_blocks[0].attn.num_heads,
            context_length=context_length,
            vocab_size=entries["token_embedding.weight"].shape[0],
            norm_eps=text_blocks[0].ln_1.eps,
        ),
    )


def load_open_clip(model: ImageBindModel, clip: nn.Module) -> None:
    """Give vision, and text if the model has it, the weights of an open_clip model.

    Raises:
        CheckpointError: towers of another form than ViT-H/14's, or of other sizes than the model's.
    """
    check_form(clip)
    frames = model.config.trunk(ModalityType.VISION).frames  # type: ignore[union-attr]
    converted = convert_open_clip(clip.state_dict(), frames=frames)
    own = model.state_dict()
    wanted = {
        name
        for name in converted
        if name.split(".")[1] in model.modalities  # a model without text takes vision alone
    }
    for name in sorted(wanted):
        seen, want = tuple(converted[name].shape), tuple(own[name].shape) if name in own else None
        if seen != want:
            raise CheckpointError(f"open_clip's {name} is {seen}; expected {want}")
    missing = [
        name
        for name in own
        if name.split(".")[1] in (ModalityType.VISION, ModalityType.TEXT)
        and name not in wanted
        and not name.endswith((".mask", ".log_logit_scale"))
    ]
    if missing:
        raise CheckpointError(f"open_clip lacks {', '.join(missing[:5])}: the model has more blocks than it")
    model.load_state_dict({name: converted[name] for name in wanted}, strict=False)


def convert_open_clip(entries: Mapping[str, Tensor], *, frames: int = 2) -> dict[str, Tensor]:
    """An open_clip state dict, of a ViT image tower and a causal text tower, under our names.

    Raises:
        CheckpointError: names that such towers don't have, or that are missing.
    """
    left = dict(entries)
    try:
        converted = dict(_vision(left, frames)) | dict(_text(left))
    except KeyError as error:
        raise CheckpointError(
            f"open_clip's state dict lacks {error}; expected a ViT with two towers"
        ) from error
    unknown = [name for name in left if name not in UNUSED]
    if unknown:
        raise CheckpointError(
            f"open_clip's state dict has besides {', '.join(unknown[:5])}; expected towers as "
            "ViT-H-14 has them"
        )
    return converted


def check_form(clip: nn.Module) -> None:
    """See that the towers compute what ours do, which a state dict does not tell.

    Raises:
        CheckpointError: QuickGELU, another pooling or another text tower.
    """
    visual, transformer = getattr(clip, "visual", None), getattr(clip, "transformer", None)
    if not hasattr(visual, "transformer") or not hasattr(transformer, "resblocks"):
        raise CheckpointError("open_clip model: expected a ViT image tower and CLIP's own text tower")
    for module in clip.modules():
        if type(module).__name__ == "QuickGELU":
            raise CheckpointError("open_clip model: uses QuickGELU; expected exact GELU, as ViT-H-14 has")
    forms = {
        "image pooling": (getattr(visual, "pool_type", "tok"), "tok"),
        "text pooling": (getattr(clip, "text_pool_type", "argmax"), "argmax"),
        "norm after pooling": (getattr(visual, "final_ln_after_pool", False), False),
    }
    for name, (seen, wanted) in forms.items():
        if seen != wanted:
            raise CheckpointError(
                f"open_clip model: {name} is {seen!r}; expected {wanted!r}, as ViT-H-14 has"
            )


def _vision(left: dict[str, Tensor], frames: int) -> Iterator[tuple[str, Tensor]]:
    stem, head = "modality_preprocessors.vision", "modality_heads.vision"
    yield f"{stem}.cls_token", left.pop("visual.class_embedding")[None, None]  # (d,) -> (1, 1, d)
    yield f"{stem}.pos_embedding_helper.pos_embed", left.pop("visual.positional_embedding")[None]
    kernel = left.pop("visual.conv1.weight")  # (d, 3, p, p)
    inflated = (kernel / frames).unsqueeze(2).expand(-1, -1, frames, -1, -1)  # -> (d, 3, t, p, p)
    yield f"{stem}.rgbt_stem.proj.1.weight", inflated.contiguous()
    for part in PARAMETERS:
        yield f"modality_trunks.vision.pre_transformer_layer.0.{part}", left.pop(f"visual.ln_pre.{part}")
        yield f"{head}.0.{part}", left.pop(f"visual.ln_post.{part}")
    yield f"{head}.2.weight", left.pop("visual.proj").T.contiguous()  # (d, e) -> (e, d)
    yield from _blocks(left, "visual.transformer.resblocks", "modality_trunks.vision.blocks")


def _text(left: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    stem, head = "modality_preprocessors.text", "modality_heads.text.proj"
    yield f"{stem}.pos_embed", left.pop("positional_embedding")[None]  # (l, d) -> (1, l, d)
    yield f"{stem}.token_embedding.weight", left.pop("token_embedding.weight")
    for part in PARAMETERS:
        yield f"{head}.0.{part}", left.pop(f"ln_final.{part}")
    yield f"{head}.1.weight", left.pop("text_projection").T.contiguous()  # (d, e) -> (e, d)
    yield from _blocks(left, "transformer.resblocks", "modality_trunks.text.blocks")


def _blocks(left: dict[str, Tensor], theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    number = 0
    while f"{theirs}.{number}.{IN_PROJ[0]}" in left:
        for name in IN_PROJ:
            yield f"{ours}.{number}.{name}", left.pop(f"{theirs}.{number}.{name}")
        for their_name, our_name in BLOCK_NAMES.items():
            for part in PARAMETERS:
                tensor = left.pop(f"{theirs}.{number}.{their_name}.{part}")
                yield f"{ours}.{number}.{our_name}.{part}", tensor
        number += 1
