"""Linear probes: linear classifiers on frozen embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LBFGS_MAX_ITERATIONS = 1000  # Source: CLIP (arXiv 2103.00020, A.3)
LBFGS_HISTORY = 10  # previous steps that L-BFGS keeps
LBFGS_TOLERANCE = 1e-7  # on the gradient and on the change of the loss


class LinearProbe(nn.Module):
    """One linear layer from embeddings to class scores: (b, e) -> (b, c)."""

    def __init__(self, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        self.classes = nn.Linear(embed_dim, num_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.classes(embeddings)


def fit_linear_probe(embeddings: Tensor, labels: Tensor, *, weight_decay: float = 1e-3) -> LinearProbe:
    """Fit logistic regression to its optimum, from zero weights: (n, e), (n,) -> a probe.

    Classes are numbered from 0. With boolean labels (n, c) a sample may have any number of classes.
    The objective is the mean loss over samples, and over classes if they are boolean, plus `weight_decay`
    times the sum of the squared weights.

    Raises:
        ValueError: embeddings or labels have the wrong shape, type or values.
    """
    _check(embeddings, labels)
    # Cloned, because `Embedder` may return inference tensors, which cannot be used in autograd.
    rows = embeddings.detach().float().clone()
    is_multi_label = labels.dtype == torch.bool
    target = labels.float() if is_multi_label else labels.long()
    num_classes = labels.shape[1] if is_multi_label else int(labels.max()) + 1
    probe = LinearProbe(rows.shape[1], num_classes).to(rows.device)
    nn.init.zeros_(probe.classes.weight)
    nn.init.zeros_(probe.classes.bias)
    optimizer = torch.optim.LBFGS(
        probe.parameters(),
        max_iter=LBFGS_MAX_ITERATIONS,
        history_size=LBFGS_HISTORY,
        tolerance_grad=LBFGS_TOLERANCE,
        tolerance_change=LBFGS_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = probe(rows)
        loss_fn = F.binary_cross_entropy_with_logits if is_multi_label else F.cross_entropy
        value = loss_fn(scores, target) + weight_decay * probe.classes.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return probe.requires_grad_(False).eval()


def _check(embeddings: Tensor, labels: Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise ValueError(f"embeddings: expected one or more rows (n, e), got {tuple(embeddings.shape)}")
    if not embeddings.isfinite().all():
        raise ValueError(
            "embeddings: expected finite values, got NaN or infinity; leave out the rows of failed items"
        )
    expected_ndim = 2 if labels.dtype == torch.bool else 1
    if labels.ndim != expected_ndim or len(labels) != len(embeddings) or labels.is_floating_point():
        raise ValueError(
            f"labels: expected class numbers ({len(embeddings)},) or booleans ({len(embeddings)}, c), "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    if labels.dtype != torch.bool and labels.min() < 0:
        raise ValueError(f"labels: expected numbers from 0, got {int(labels.min())}")
