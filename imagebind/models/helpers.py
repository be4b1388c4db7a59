"""The original's names of small layers, for code that imports or builds them; ours are in `heads`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """To length 1 along `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=self.dim)


class LearnableLogitScaling(heads.LogitScale, metaclass=OriginalName, ours=(heads.LogitScale,)):
    """Multiply by a scale, initialised and at most `max_logit_scale`."""

    def __init__(
        self,
        logit_scale_init: float = heads.TEXT_LOGIT_SCALE,
        learnable: bool = True,
        max_logit_scale: float = heads.MAX_LOGIT_SCALE,
    ) -> None:
        super().__init__(logit_scale_init, learnable=learnable)
        self.max_logit_scale = max_logit_scale
        self.reset_parameters()


class SelectElement(nn.Module, metaclass=OriginalName, ours=(heads.ClassToken,)):
    """The token at an index: (b, l, ...) -> (b, ...)."""

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
    """The head of text."""


class EinOpsRearrange(nn.Module):
    """einops' `rearrange`.

    Raises:
        MissingExtraError: einops is not installed; only when called.
    """

    def __init__(self, rearrange_expr: str, **kwargs: Any) -> None:
        super().__init__()
        self.rearrange_expr = rearrange_expr
        self.kwargs = kwargs

    def forward(self, x: Tensor) -> Tensor:
        einops = import_extra("einops", extra="einops", purpose="EinOpsRearrange")
        return einops.rearrange(x, self.rearrange_expr, **self.kwargs)


def cast_if_src_dtype(tensor: Tensor, src_dtype: torch.dtype, tgt_dtype: torch.dtype) -> tuple[Tensor, bool]:
    """Cast a tensor of one type to another; others come back as they are. Returns whether it was cast."""
    is_cast = tensor.dtype == src_dtype
    return tensor.to(tgt_dtype) if is_cast else tensor, is_cast
