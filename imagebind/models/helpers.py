"""Small layers and a cast under the original project's names, for code that imports them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.config import MAX_LOGIT_SCALE
from imagebind.errors import import_extra
from imagebind.models import heads
from imagebind.models.original_names import OriginalName

__all__ = [
    "EinOpsRearrange",
    "LearnableLogitScaling",
    "Normalize",
    "SelectEOSAndProject",
    "SelectElement",
    "VerboseNNModule",
    "cast_if_src_dtype",
]

VerboseNNModule = nn.Module


class Normalize(nn.Module, metaclass=OriginalName, ours=(heads.UnitLength,)):
    """Scale a tensor to length 1 along `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=self.dim)


class LearnableLogitScaling(heads.LogitScale, metaclass=OriginalName, ours=(heads.LogitScale,)):
    """Multiply by a scale of at most `max_logit_scale`; initialised on construction."""

    def __init__(
        self,
        logit_scale_init: float = heads.TEXT_LOGIT_SCALE,
        learnable: bool = True,
        max_logit_scale: float = MAX_LOGIT_SCALE,
    ) -> None:
        super().__init__(logit_scale_init, learnable=learnable)
        self.max_logit_scale = max_logit_scale
        self.reset_parameters()


class SelectElement(nn.Module, metaclass=OriginalName, ours=(heads.ClassToken,)):
    """Select the token at an index: (b, l, ...) -> (b, ...)."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.index]


class SelectEOSAndProject(
    metaclass=OriginalName,
    ours=(heads.TextHead,),
    instead="build imagebind.models.heads.TextHead(trunk_dim, embed_dim)",
):
    """The original project's name for `TextHead`."""


class EinOpsRearrange(nn.Module):
    """Apply einops' `rearrange`.

    Raises:
        MissingExtraError: when called, if einops is not installed.
    """

    def __init__(self, rearrange_expr: str, **kwargs: Any) -> None:
        super().__init__()
        self.rearrange_expr = rearrange_expr
        self.kwargs = kwargs

    def forward(self, x: Tensor) -> Tensor:
        einops = import_extra("einops", extra="einops", purpose="EinOpsRearrange")
        return einops.rearrange(x, self.rearrange_expr, **self.kwargs)


def cast_if_src_dtype(tensor: Tensor, src_dtype: torch.dtype, tgt_dtype: torch.dtype) -> tuple[Tensor, bool]:
    """Cast a tensor of dtype `src_dtype`, and return others unchanged; also return whether it was cast."""
    is_cast = tensor.dtype == src_dtype
    return tensor.to(tgt_dtype) if is_cast else tensor, is_cast
