"""Multi-head self-attention, with the learned extra key and value that four of the trunks have."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention: (b, l, d) -> (b, l, d).

    With `add_bias_kv`, one learned key and one learned value are appended to every sequence after the input
    projection; every token attends to them.
    """

    def __init__(self, embed_dim: int, num_heads: int, *, add_bias_kv: bool = False) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim: expected a multiple of num_heads = {num_heads}, got {embed_dim}")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))  # query, key, value
        self.in_proj_bias = nn.Parameter(torch.empty(3 * embed_dim))
        self.bias_k = nn.Parameter(torch.empty(1, 1, embed_dim)) if add_bias_kv else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, embed_dim)) if add_bias_kv else None
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def reset_parameters(self) -> None:
        """Initialise the projection as in the paper (Xavier), the rest as `nn.MultiheadAttention` does."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                nn.init.xavier_normal_(bias)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Apply attention: (b, l, d) -> (b, l, d).

        `attn_mask` broadcasts to (b, h, l, l). A boolean mask is True where a token may attend; a float mask
        is added to the scores, so that -inf hides a token.
        """
        query, key, value = self.project_in(x)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(query.dtype)
        if self.bias_k is not None and self.bias_v is not None:
            key = self._append(key, self.bias_k)  # (b, h, l, d/h) -> (b, h, l + 1, d/h)
            value = self._append(value, self.bias_v)
            if attn_mask is not None:  # (..., l) -> (..., l + 1)
                attn_mask = F.pad(attn_mask, (0, 1), value=attn_mask.dtype == torch.bool)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask)
        return self.project_out(mixed)

    def project_in(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, keys and values of tokens by head: (b, l, d) -> (b, h, l, d/h) each."""
        query, key, value = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return self._split_heads(query), self._split_heads(key), self._split_heads(value)

    def project_out(self, mixed: Tensor) -> Tensor:
        """Join the heads and project: (b, h, l, d/h) -> (b, l, d)."""
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _split_heads(self, tokens: Tensor) -> Tensor:
        # `unflatten` would fix b in ONNX.
        heads = tokens.reshape(*tokens.shape[:2], self.num_heads, self.head_dim)
        return heads.transpose(1, 2)  # (b, l, h, d/h) -> (b, h, l, d/h)

    def _append(self, tokens: Tensor, extra: Tensor) -> Tensor:
        extra = self._split_heads(extra.to(tokens.dtype))  # (1, 1, d) -> (1, h, 1, d/h)
        return torch.cat([tokens, extra.expand(tokens.shape[0], -1, -1, -1)], dim=2)
