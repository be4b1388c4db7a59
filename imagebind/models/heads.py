"""Heads project a trunk's tokens to the embedding space; postprocessors normalise and scale the result."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.checks import check_positive
from imagebind.config import MAX_LOGIT_SCALE
from imagebind.models.transformer import LAYER_NORM_EPS

TEXT_LOGIT_SCALE = 1 / 0.07  # initial value of the learned scale of text, as in CLIP


class ClassToken(nn.Module):
    """Select the class token: (b, l, d) -> (b, d)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


def class_token_head(
    trunk_dim: int, embed_dim: int, *, dropout: float = 0.0, norm_eps: float = LAYER_NORM_EPS
) -> nn.Sequential:
    """Return LayerNorm, class token, [dropout,] projection: (b, l, d) -> (b, e).

    The projection has index 2, or 3 with a dropout, as in the checkpoint.
    """
    layers: list[nn.Module] = [nn.LayerNorm(trunk_dim, eps=norm_eps), ClassToken()]
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(trunk_dim, embed_dim, bias=False))


class TextHead(nn.Module):
    """Normalise and project the end-of-text token of each row: (b, l, d), (b,) -> (b, e)."""

    def __init__(self, trunk_dim: int, embed_dim: int, *, norm_eps: float = LAYER_NORM_EPS) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(trunk_dim, eps=norm_eps), nn.Linear(trunk_dim, embed_dim, bias=False)
        )

    def forward(self, tokens: Tensor, seq_len: Tensor) -> Tensor:
        """Project the token at index `seq_len` of each row."""
        index = seq_len[:, None, None].expand(-1, 1, tokens.shape[-1])  # (b,) -> (b, 1, d)
        return self.proj(tokens.gather(1, index).squeeze(1))


class UnitLength(nn.Module):
    """Scale embeddings to length 1: (b, e) -> (b, e). Computed in float32, and returned so under autocast."""

    def forward(self, embeddings: Tensor) -> Tensor:
        unit = F.normalize(embeddings.float(), dim=-1)
        return unit if torch.is_autocast_enabled(embeddings.device.type) else unit.to(embeddings.dtype)


class LogitScale(nn.Module):
    """Multiply by a fixed or learned scale of at most 100, stored as its logarithm: (b, e) -> (b, e)."""

    log_logit_scale: Tensor

    def __init__(self, logit_scale: float, *, learnable: bool) -> None:
        super().__init__()
        check_positive(logit_scale=logit_scale)
        self.logit_scale_init = logit_scale
        self.learnable = learnable
        self.max_logit_scale = MAX_LOGIT_SCALE
        if learnable:
            self.log_logit_scale = nn.Parameter(torch.empty(()))
        else:
            self.register_buffer("log_logit_scale", torch.empty(()))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_logit_scale, math.log(self.logit_scale_init))

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.log_logit_scale.exp().clamp(max=self.max_logit_scale) * embeddings


def postprocessor(logit_scale: float | None, *, learnable: bool = False) -> nn.Sequential:
    """Return `UnitLength`, and then a `LogitScale` unless `logit_scale` is None: (b, e) -> (b, e)."""
    scale = [] if logit_scale is None else [LogitScale(logit_scale, learnable=learnable)]
    return nn.Sequential(UnitLength(), *scale)
