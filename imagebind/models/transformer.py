"""The trunk architecture of all six modalities: pre-norm transformer blocks."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imagebind.models.attention import SelfAttention
from imagebind.models.original_names import OriginalName

LAYER_NORM_EPS = 1e-6  # of trunks and heads; stems use torch's default, 1e-5. Source: the released model
MLP_RATIO = 4


class DropPath(nn.Module):
    """Stochastic depth: in training, zero the residual branch of a sample with probability `drop_prob`.

    timm is imported at the first drop: the import takes seconds and 190 MB, and inference does not need it.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        if not 0 <= drop_prob < 1:
            raise ValueError(f"drop_prob: expected a number in [0, 1), got {drop_prob}")
        self.drop_prob = drop_prob

    def forward(self, residual: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return residual
        from timm.layers import drop_path

        return drop_path(residual, self.drop_prob, training=True)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them: (b, l, d) -> (b, l, d)."""

    def __init__(self, in_features: int, hidden_features: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(tokens)))


class Block(nn.Module):
    """Attention and MLP, each with a LayerNorm before it and a skip connection: (b, l, d) -> (b, l, d)."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        drop_path_rate: float = 0.0,
        add_bias_kv: bool = False,
        norm_eps: float = LAYER_NORM_EPS,
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.attn = SelfAttention(embed_dim, num_heads, add_bias_kv=add_bias_kv)
        self.norm_2 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, MLP_RATIO * embed_dim)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm_1(x), attn_mask))
        return x + self.drop_path(self.mlp(self.norm_2(x)))


class Trunk(nn.Module):
    """A sequence of blocks: (b, l, d) -> (b, l, d).

    Stochastic depth rises linearly from 0 at the first block to `drop_path_rate` at the last.
    `pre_norm` puts a LayerNorm before the blocks.
    """

    def __init__(
        self,
        embed_dim: int,
        num_blocks: int,
        num_heads: int,
        *,
        drop_path_rate: float = 0.0,
        pre_norm: bool = False,
        add_bias_kv: bool = False,
        norm_eps: float = LAYER_NORM_EPS,
    ) -> None:
        super().__init__()
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a number in [0, 1), got {drop_path_rate}")
        norms = [nn.LayerNorm(embed_dim, eps=norm_eps)] if pre_norm else []
        self.pre_transformer_layer = nn.Sequential(*norms)
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                drop_path_rate=drop_path_rate * i / max(num_blocks - 1, 1),
                add_bias_kv=add_bias_kv,
                norm_eps=norm_eps,
            )
            for i in range(num_blocks)
        )
        self.grad_checkpointing = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Enable or disable gradient checkpointing, which recomputes activations in the backward pass."""
        self.grad_checkpointing = enable

    def forward(
        self,
        tokens: Tensor,
        attn_mask: Tensor | None = None,
        use_checkpoint: bool = False,
        checkpoint_every_n: int = 1,
        checkpoint_blk_ids: Collection[int] | None = None,
    ) -> Tensor:
        """Run the blocks, all with the same `attn_mask` (see `SelfAttention`).

        `use_checkpoint` enables gradient checkpointing for this call, `set_grad_checkpointing` for all calls;
        without gradients or in evaluation mode it has no effect. The checkpointed blocks are
        `checkpoint_blk_ids`, by default every `checkpoint_every_n`-th, starting with the first.
        """
        tokens = self.pre_transformer_layer(tokens)
        recomputed: Collection[int] = ()
        if (use_checkpoint or self.grad_checkpointing) and self.training and torch.is_grad_enabled():
            every_nth = range(0, len(self.blocks), checkpoint_every_n)
            recomputed = every_nth if checkpoint_blk_ids is None else checkpoint_blk_ids
        for index, block in enumerate(self.blocks):
            if index in recomputed:
                tokens = checkpoint(block, tokens, attn_mask, use_reentrant=False)
            else:
                tokens = block(tokens, attn_mask)
        return tokens


_BUILD_ATTENTION = "build imagebind.models.attention.SelfAttention(embed_dim, num_heads, …)"


class Attention(metaclass=OriginalName, ours=(SelfAttention,), instead=_BUILD_ATTENTION):
    """The original project's name for `SelfAttention`."""


class MultiheadAttention(metaclass=OriginalName, ours=(SelfAttention,), instead=_BUILD_ATTENTION):
    """The original project's name for `SelfAttention`."""


class BlockWithMasking(
    metaclass=OriginalName,
    ours=(Block,),
    instead="build imagebind.models.transformer.Block(embed_dim, num_heads, …)",
):
    """The original project's name for `Block`."""


class SimpleTransformer(
    metaclass=OriginalName,
    ours=(Trunk,),
    instead="build imagebind.models.transformer.Trunk(embed_dim, num_blocks, num_heads, …)",
):
    """The original project's name for `Trunk`."""
