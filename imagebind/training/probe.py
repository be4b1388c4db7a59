"""A linear probe: classes from frozen embeddings, the usual measure of what is in them."""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.checkpoints.formats import read_weights, write_weights
from imagebind.errors import CheckpointError

MAX_ITERATIONS = 1000  # of L-BFGS. Source: CLIP (arXiv 2103.00020, A.3)
HISTORY = 10  # steps that L-BFGS looks back on
TOLERANCE = 1e-7  # on the gradient and on the loss's change


class LinearProbe(nn.Module):
    """One linear layer from embeddings to scores of classes: (b, e) -> (b, c)."""

    def __init__(self, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        self.classes = nn.Linear(embed_dim, num_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.classes(embeddings)


def fit_linear_probe(embeddings: Tensor, labels: Tensor, *, weight_decay: float = 1e-3) -> LinearProbe:
    """Logistic regression to its optimum, which does not depend on chance: (n, e), (n,) -> a probe.

    Classes are numbered from 0. With labels (n, c) of booleans a sample may have any number of classes.
    `weight_decay` is half the penalty on the squared weights, beside the mean loss of a sample.

    Raises:
        ValueError: shapes or labels that don't fit.
    """
    _check(embeddings, labels)
    # Some of what `Embedder` returns was made in inference mode, where no gradient may come.
    rows = embeddings.detach().float().clone()
    many = labels.dtype == torch.bool
    target = labels.float() if many else labels.long()
    num_classes = labels.shape[1] if many else int(labels.max()) + 1
    probe = LinearProbe(rows.shape[1], num_classes).to(rows.device)
    nn.init.zeros_(probe.classes.weight)
    nn.init.zeros_(probe.classes.bias)
    optimizer = torch.optim.LBFGS(
        probe.parameters(),
        max_iter=MAX_ITERATIONS,
        history_size=HISTORY,
        tolerance_grad=TOLERANCE,
        tolerance_change=TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = probe(rows)
        fit = F.binary_cross_entropy_with_logits(scores, target) if many else F.cross_entropy(scores, target)
        value = fit + weight_decay * probe.classes.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return probe.requires_grad_(False).eval()


def save_probe(probe: LinearProbe, path: str | os.PathLike[str]) -> None:
    """Write a probe to a `.safetensors` file.

    Raises:
        CheckpointError: it cannot be written.
    """
    write_weights(probe.state_dict(), Path(path))


def load_probe(path: str | os.PathLike[str]) -> LinearProbe:
    """Read what `save_probe` wrote.

    Raises:
        CheckpointError: missing, damaged, or of something else.
    """
    entries = read_weights(Path(path))
    if set(entries) != {"classes.weight", "classes.bias"}:
        raise CheckpointError(f"{path}: expected a linear probe, got {sorted(entries)[:5]}")
    num_classes, embed_dim = entries["classes.weight"].shape
    probe = LinearProbe(embed_dim, num_classes)
    probe.load_state_dict(entries)
    return probe.requires_grad_(False).eval()


def _check(embeddings: Tensor, labels: Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise ValueError(f"embeddings: expected (n, e), got {tuple(embeddings.shape)}")
    if not embeddings.isfinite().all():
        raise ValueError(
            "embeddings: expected finite values, got NaN; leave out the rows of items that failed"
        )
    wanted_dims = 2 if labels.dtype == torch.bool else 1
    if labels.ndim != wanted_dims or len(labels) != len(embeddings) or labels.is_floating_point():
        raise ValueError(
            f"labels: expected class numbers ({len(embeddings)},) or booleans ({len(embeddings)}, c), "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    if labels.dtype != torch.bool and labels.min() < 0:
        raise ValueError(f"labels: expected numbers from 0, got {int(labels.min())}")
