"""Training on a CUDA device: the losses of the CPU, resumption, and bfloat16 with gradient caching."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from imagebind.checkpoints.factory import load_model
from imagebind.training import ranks
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import Steps
from tests.training.toy import Stop, losses_of, stop_after, toy_config, toy_recipe

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

LOSS_TOLERANCE = 2e-3  # of losses around 4: sums in another order, amplified by a few steps of Adam


@pytest.fixture(autouse=True)
def deterministic_float32(monkeypatch) -> Iterator[None]:
    """Use deterministic kernels, and float32 convolutions without TF32."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "options", [{}, {"chunk_size": 3, "grad_checkpointing": True}], ids=["whole", "chunks"]
)
def test_losses_on_cuda_equal_those_on_the_cpu(tmp_path, monkeypatch, options):
    options |= {"length": Steps(total=6, warmup=2)}
    torch.cuda.reset_peak_memory_stats()
    train(toy_recipe(tmp_path / "cuda", **options))
    assert torch.cuda.max_memory_allocated() > 0
    monkeypatch.setattr(ranks, "best_device", lambda: "cpu")
    train(toy_recipe(tmp_path / "cpu", **options))
    cuda, cpu = (losses_of(read_log(tmp_path / name)) for name in ("cuda", "cpu"))
    assert len(cuda) == 6
    np.testing.assert_allclose(cuda, cpu, atol=LOSS_TOLERANCE, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stopped_run_on_cuda_resumes_with_the_losses_of_an_uninterrupted_one(tmp_path, precision):
    """Drop path uses CUDA's generator, whose state a checkpoint must keep."""

    options = {
        "model": toy_config(drop_path_rate=0.5),
        "precision": precision,
        "chunk_size": 3,
        "checkpoint_every": 3,
    }
    train(toy_recipe(tmp_path / "whole", **options))
    with pytest.raises(Stop):
        train(toy_recipe(tmp_path / "stopped", **options), progress=stop_after(5))
    torch.rand(7, device="cuda")
    train(toy_recipe(tmp_path / "stopped", **options))
    whole, stopped = (read_log(tmp_path / name) for name in ("whole", "stopped"))
    assert [record["step"] for record in stopped] == list(range(1, 13))
    np.testing.assert_allclose(losses_of(stopped), losses_of(whole), rtol=1e-5)
    weights = load_model(tmp_path / "whole" / "model").state_dict()
    for name, tensor in load_model(tmp_path / "stopped" / "model").state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-4, rtol=1e-4, msg=name)


def test_bfloat16_with_chunks_and_recomputed_activations_learns_on_cuda(tmp_path):
    recipe = toy_recipe(
        tmp_path,
        length=Steps(total=40, warmup=4),
        precision="bfloat16",
        chunk_size=4,
        grad_checkpointing=True,
        num_workers=2,
    )
    result = train(recipe)
    records = read_log(tmp_path)
    assert np.isfinite(losses_of(records)).all()
    for name in ("text", "depth"):
        losses = [record["loss"] for record in records if record["pair"] == name]
        assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])
    weights = load_model(result.model).state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
