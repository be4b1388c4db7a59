"""Which parameters decay, and the learning rate step by step."""

import math

import pytest
import torch
from torch import nn

from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.optimizer import AdamW, Schedule, build_optimizer, is_decayed, set_learning_rate
from tests.training.toy import toy_config


def test_weight_decay_applies_to_matrices_but_not_to_norms_biases_positions_and_scales():
    decayed = {name for name, p in ImageBindModel(toy_config()).named_parameters() if is_decayed(name, p)}
    ends = {name.split(".", 2)[2] for name in decayed if ".text." in name or ".depth." in name}
    ends = {end.replace("blocks.0.", "").replace("blocks.1.", "") for end in ends}
    assert ends == {
        "attn.in_proj_weight",
        "attn.out_proj.weight",
        "mlp.fc1.weight",
        "mlp.fc2.weight",
        "depth_stem.proj.weight",
        "token_embedding.weight",
        "2.weight",
        "proj.1.weight",
    }


def test_the_optimizer_has_the_trainable_parameters_in_two_groups():
    model = ImageBindModel(toy_config())
    model.modality_trunks["text"].requires_grad_(False)
    optimizer = build_optimizer(model.named_parameters(), AdamW(lr=0.1, weight_decay=0.2))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == sum(parameter.requires_grad for parameter in model.parameters())
    set_learning_rate(optimizer, 0.03)
    assert {group["lr"] for group in optimizer.param_groups} == {0.03}
    with pytest.raises(ValueError, match="trainable parameters, got none"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False).named_parameters(), AdamW(lr=0.1))


def test_a_parameter_with_zero_gradient_changes_only_by_weight_decay():
    layer = nn.Linear(2, 2)
    before = layer.bias.clone(), layer.weight.clone()
    optimizer = build_optimizer(layer.named_parameters(), AdamW(lr=0.1, weight_decay=0.5))
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    assert torch.equal(layer.bias, before[0])
    assert torch.allclose(layer.weight, before[1] * 0.95)


def test_the_learning_rate_warms_up_linearly_and_falls_by_a_cosine():
    schedule = Schedule(total_steps=12, warmup_steps=4)
    factors = [schedule.factor(step) for step in range(12)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[8] == pytest.approx(0.5)  # half of the cosine
    assert factors[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8))) and factors[11] > 0
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert Schedule(total_steps=1).factor(0) == 1.0
