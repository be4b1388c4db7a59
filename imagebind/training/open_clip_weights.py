"""Initialises the image and text towers from an open_clip model, as the paper does from ViT-H/14.

Both towers compute the same function as open_clip's, with two differences. The vision stem takes two frames:
open_clip's patch kernel is divided equally between them, so a repeated image gives the same result.
LayerNorm's epsilon is 1e-5 in open_clip and 1e-6 in the released ImageBind, whose configuration therefore
gives slightly different numbers than one with `norm_eps` 1e-5.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from imagebind.errors import CheckpointError, MissingExtraError
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

# open_clip's layer name in a block: our name. Each layer has a weight and a bias.
BLOCK_NAMES = {
    "ln_1": "norm_1",
    "attn.out_proj": "attn.out_proj",
    "ln_2": "norm_2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
PARAMETERS = ("weight", "bias")
IN_PROJ = ("attn.in_proj_weight", "attn.in_proj_bias")
UNUSED_ENTRIES = frozenset({"attn_mask", "logit_scale"})  # the mask is constant; the loss has its own scale


def create_open_clip(name: str, pretrained: str) -> nn.Module:
    """Return an open_clip model with its weights, downloaded into open_clip's cache if necessary.

    Raises:
        MissingExtraError: open_clip is not installed.
        CheckpointError: the model or its weights do not exist or cannot be read.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError(
            "open_clip_torch", extra="train", purpose="starting from open_clip"
        ) from error
    try:
        return open_clip.create_model(name, pretrained=pretrained)
    except Exception as error:  # errors of open_clip, the hub, its HTTP client and the disk
        raise CheckpointError(f"open_clip {name}, {pretrained}: {error}") from error


def load_open_clip(model: ImageBindModel, clip: nn.Module) -> None:
    """Load an open_clip model's weights into the vision tower, and into the text tower if the model has one.

    Raises:
        CheckpointError: the towers have another architecture than ViT-H/14, or other sizes than the model.
    """
    check_architecture(clip)
    frames = model.config.trunk(ModalityType.VISION).frames  # type: ignore[union-attr]
    converted = convert_open_clip(clip.state_dict(), frames=frames)
    own = model.state_dict()
    used = {name for name in converted if name.split(".")[1] in model.modalities}
    for name in sorted(used):
        got = tuple(converted[name].shape)
        expected = tuple(own[name].shape) if name in own else "no such entry"
        if got != expected:
            raise CheckpointError(f"open_clip's {name}: expected {expected}, got {got}")
    missing = [
        name
        for name in own
        if name.split(".")[1] in (ModalityType.VISION, ModalityType.TEXT)
        and name not in used
        and not name.endswith((".mask", ".log_logit_scale"))
    ]
    if missing:
        raise CheckpointError(
            f"open_clip model: expected {', '.join(missing[:5])}, got fewer blocks than the model has"
        )
    model.load_state_dict({name: converted[name] for name in used}, strict=False)


def convert_open_clip(entries: Mapping[str, Tensor], *, frames: int = 2) -> dict[str, Tensor]:
    """Return the state dict of a ViT image tower and a causal text tower of open_clip under our names.

    Raises:
        CheckpointError: entries are missing, or not known in these two towers.
    """
    remaining = dict(entries)
    try:
        converted = dict(_vision(remaining, frames)) | dict(_text(remaining))
    except KeyError as error:
        raise CheckpointError(
            f"open_clip's state dict: expected a ViT image tower and a text tower, got one without {error}"
        ) from error
    unknown = [name for name in remaining if name not in UNUSED_ENTRIES]
    if unknown:
        raise CheckpointError(
            f"open_clip's state dict: expected only entries of ViT-H-14, also got {', '.join(unknown[:5])}"
        )
    return converted


def check_architecture(clip: nn.Module) -> None:
    """Check that the towers compute the same function as ours, which a state dict does not show.

    Raises:
        CheckpointError: the model has QuickGELU, another pooling, a norm after pooling, or another image or
            text tower.
    """
    visual, transformer = getattr(clip, "visual", None), getattr(clip, "transformer", None)
    if not hasattr(visual, "transformer") or not hasattr(transformer, "resblocks"):
        raise CheckpointError(
            "open_clip model: expected a ViT image tower and CLIP's own text tower, got "
            f"{type(visual).__name__} and {type(transformer).__name__}"
        )
    for module in clip.modules():
        if type(module).__name__ == "QuickGELU":
            raise CheckpointError("open_clip model: expected exact GELU, as in ViT-H-14, got QuickGELU")
    settings = {
        "image pooling": (getattr(visual, "pool_type", "tok"), "tok"),
        "text pooling": (getattr(clip, "text_pool_type", "argmax"), "argmax"),
        "norm after pooling": (getattr(visual, "final_ln_after_pool", False), False),
    }
    for name, (got, expected) in settings.items():
        if got != expected:
            raise CheckpointError(
                f"open_clip model: {name}: expected {expected!r}, as in ViT-H-14, got {got!r}"
            )


def _vision(remaining: dict[str, Tensor], frames: int) -> Iterator[tuple[str, Tensor]]:
    stem, head = "modality_preprocessors.vision", "modality_heads.vision"
    yield f"{stem}.cls_token", remaining.pop("visual.class_embedding")[None, None]  # (d,) -> (1, 1, d)
    yield f"{stem}.pos_embedding_helper.pos_embed", remaining.pop("visual.positional_embedding")[None]
    kernel = remaining.pop("visual.conv1.weight")  # (d, 3, p, p)
    inflated = (kernel / frames).unsqueeze(2).expand(-1, -1, frames, -1, -1)  # -> (d, 3, t, p, p)
    yield f"{stem}.rgbt_stem.proj.1.weight", inflated.contiguous()
    for part in PARAMETERS:
        yield f"modality_trunks.vision.pre_transformer_layer.0.{part}", remaining.pop(f"visual.ln_pre.{part}")
        yield f"{head}.0.{part}", remaining.pop(f"visual.ln_post.{part}")
    yield f"{head}.2.weight", remaining.pop("visual.proj").T.contiguous()  # (d, e) -> (e, d)
    yield from _blocks(remaining, "visual.transformer.resblocks", "modality_trunks.vision.blocks")


def _text(remaining: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    stem, head = "modality_preprocessors.text", "modality_heads.text.proj"
    yield f"{stem}.pos_embed", remaining.pop("positional_embedding")[None]  # (l, d) -> (1, l, d)
    yield f"{stem}.token_embedding.weight", remaining.pop("token_embedding.weight")
    for part in PARAMETERS:
        yield f"{head}.0.{part}", remaining.pop(f"ln_final.{part}")
    yield f"{head}.1.weight", remaining.pop("text_projection").T.contiguous()  # (d, e) -> (e, d)
    yield from _blocks(remaining, "transformer.resblocks", "modality_trunks.text.blocks")


def _blocks(remaining: dict[str, Tensor], their_prefix: str, our_prefix: str) -> Iterator[tuple[str, Tensor]]:
    number = 0
    while f"{their_prefix}.{number}.{IN_PROJ[0]}" in remaining:
        for name in IN_PROJ:
            yield f"{our_prefix}.{number}.{name}", remaining.pop(f"{their_prefix}.{number}.{name}")
        for their_name, our_name in BLOCK_NAMES.items():
            for part in PARAMETERS:
                tensor = remaining.pop(f"{their_prefix}.{number}.{their_name}.{part}")
                yield f"{our_prefix}.{number}.{our_name}.{part}", tensor
        number += 1
