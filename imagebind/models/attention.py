"""Multi-head self-attention, with the extra key and value that four of the trunks learn."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Every token looks at every token, or with `causal` at itself and those before: (b, l, d) -> (b, l, d).

    With `add_bias_kv`, one learned key and value join every sequence after the input projection.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, *, causal: bool = False, add_bias_kv: bool = False
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim wants a multiple of num_heads = {num_heads}, got {embed_dim}")
        if causal and add_bias_kv:
            raise ValueError("a causal mask and a key/value bias token are not used together by any trunk")
        self.num_heads = num_heads
        self.causal = causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))  # query, key, value
        self.in_proj_bias = nn.Parameter(torch.empty(3 * embed_dim))
        self.bias_k = nn.Parameter(torch.empty(1, 1, embed_dim)) if add_bias_kv else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, embed_dim)) if add_bias_kv else None
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def reset_parameters(self) -> None:
        """Xavier for the projections, as the paper; the bias token as `nn.MultiheadAttention` does."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                nn.init.xavier_normal_(bias)

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)  # (b, l, 3·d)
        query, key, value = (self._split_heads(part) for part in qkv.chunk(3, dim=-1))  # (b, h, l, d/h) each
        if self.bias_k is not None and self.bias_v is not None:
            key = self._append(key, self.bias_k)  # (b, h, l, d/h) -> (b, h, l + 1, d/h)
            value = self._append(value, self.bias_v)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # (b, h, l, d/h) -> (b, l, d)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (b, l, d) -> (b, h, l, d/h)

    def _append(self, tokens: Tensor, extra: Tensor) -> Tensor:
        extra = self._split_heads(extra.to(tokens.dtype))  # (1, 1, d) -> (1, h, 1, d/h)
        return torch.cat([tokens, extra.expand(len(tokens), -1, -1, -1)], dim=2)
