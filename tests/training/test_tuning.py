"""Trainable parameters; LoRA as a peft adapter and merged; a modality added by a subclass."""

import json
import sys

import pytest
import torch

from imagebind.checkpoints.factory import load_model
from imagebind.errors import CheckpointError, MissingExtraError
from imagebind.models.heads import class_token_head, postprocessor
from imagebind.models.imagebind_model import ImageBindModel, init_weights
from imagebind.models.stems import PatchPreprocessor
from imagebind.models.transformer import Trunk
from imagebind.training.encoder import PairEncoder
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import PairRecipe, Steps, Weights
from imagebind.training.tuning import Everything, Heads, Lora, Trunks, freeze_but
from tests.training.toy import (
    DEPTH,
    SIDE,
    WIDTH,
    Stop,
    ToyPairs,
    losses_of,
    stop_after,
    toy_config,
    toy_recipe,
)


def trainable_parts(model: ImageBindModel) -> set[str]:
    return {".".join(name.split(".")[:2]) for name, p in model.named_parameters() if p.requires_grad}


def test_each_choice_makes_only_its_parameters_trainable():
    parts = ("modality_preprocessors", "modality_trunks", "modality_heads")
    choices = {
        Everything(): {f"{part}.{name}" for part in parts for name in ("vision", "text", "depth")},
        Trunks(modalities=("depth",)): {f"{part}.depth" for part in parts},
        Heads(modalities=("depth", "text")): {"modality_heads.depth", "modality_heads.text"},
    }
    for learns, wanted in choices.items():
        model = ImageBindModel(toy_config())
        assert freeze_but(model, learns) is None
        assert trainable_parts(model) == wanted
    with pytest.raises(ValueError, match=r"\(vision, text, depth\), got \['audio'\]"):
        freeze_but(ImageBindModel(toy_config()), Trunks(modalities=("audio",)))


def test_frozen_modules_stay_in_evaluation_mode():
    model = ImageBindModel(toy_config())
    freeze_but(model, Heads(modalities=("depth",)))
    PairEncoder(model).train()
    assert model.modality_heads["depth"].training
    assert not model.modality_trunks["depth"].training and not model.modality_heads["vision"].training


def maps() -> torch.Tensor:
    return torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def test_lora_is_saved_as_a_peft_adapter_and_merged(tmp_path):
    peft = pytest.importorskip("peft")
    base = train(toy_recipe(tmp_path / "base", length=Steps(total=4))).model
    recipe = toy_recipe(
        tmp_path / "lora",
        pairs=(DEPTH,),
        weights=(Weights(source=base),),
        learns=Lora(modalities=("depth",), rank=4),
        length=Steps(total=25, warmup=2),
        checkpoint_every=10,
    )
    result = train(recipe)
    losses = losses_of(read_log(tmp_path / "lora"))
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()

    merged, plain = load_model(result.model), load_model(base)
    changed = {
        name for name, new in merged.state_dict().items() if not torch.equal(new, plain.state_dict()[name])
    }
    assert {name.rpartition("blocks.")[2].partition(".")[2] for name in changed if "trunks" in name} == {
        "attn.in_proj_weight",
        "mlp.fc1.weight",
        "mlp.fc2.weight",
    }
    assert all(".depth." in name for name in changed if "postprocessors" not in name)

    assert merged.modality_postprocessors["depth"][1].log_logit_scale.exp().item() == pytest.approx(1 / 0.2)

    config = json.loads((result.adapter / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["r"] == 4
    adapted = peft.PeftModel.from_pretrained(load_model(base), str(result.adapter)).eval()
    with torch.inference_mode():
        inputs = {"depth": maps()}
        cosine = torch.cosine_similarity(adapted(inputs)["depth"], merged(inputs)["depth"])
        moved = torch.cosine_similarity(plain(inputs)["depth"], merged(inputs)["depth"])
    assert cosine.min() > 1 - 1e-5 and moved.max() < 0.999


def test_lora_resumes_exactly_from_its_checkpoint(tmp_path):
    pytest.importorskip("peft")

    options = {"pairs": (DEPTH,), "learns": Lora(modalities=("depth",)), "checkpoint_every": 3}
    train(toy_recipe(tmp_path / "whole", **options))
    with pytest.raises(Stop):
        train(toy_recipe(tmp_path / "cut", **options), progress=stop_after(5))
    train(toy_recipe(tmp_path / "cut", **options))
    whole, cut = (losses_of(read_log(tmp_path / name)) for name in ("whole", "cut"))
    assert whole.tolist() == cut.tolist()


def test_a_damaged_adapter_in_a_checkpoint_is_an_error_that_names_its_folder(tmp_path):
    pytest.importorskip("peft")
    recipe = toy_recipe(tmp_path, pairs=(DEPTH,), learns=Lora(modalities=("depth",)), length=Steps(total=1))
    train(recipe)
    path = tmp_path / "checkpoints" / "step-000001" / "adapter" / "adapter_model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))  # a file of the right size counts as complete
    with pytest.raises(CheckpointError, match=r"step-000001/adapter: cannot be read"):
        train(recipe)


def test_lora_without_peft_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # Python then refuses to import it
    with pytest.raises(MissingExtraError, match=r"LoRA needs peft: pip install 'imagebind\[train\]'"):
        freeze_but(ImageBindModel(toy_config()), Lora(modalities=("depth",)))


class WithRadar(ImageBindModel):
    """The toy model with a modality that ImageBind does not have."""

    def __init__(self) -> None:
        super().__init__(toy_config())
        self.modality_preprocessors["radar"] = PatchPreprocessor(
            WIDTH, name="radar", image_size=(SIDE, SIDE), patch_size=14, stride=14, stem_name="radar_stem"
        )
        self.modality_trunks["radar"] = Trunk(WIDTH, 2, 2)
        self.modality_heads["radar"] = class_token_head(WIDTH, self.config.embed_dim)
        self.modality_postprocessors["radar"] = postprocessor(10.0)
        for part in (self.modality_preprocessors, self.modality_trunks, self.modality_heads):
            init_weights(part["radar"])
        init_weights(self.modality_postprocessors["radar"])


def radar_pairs() -> ToyPairs:
    return ToyPairs("radar")


def test_a_new_modality_is_trained_on_a_frozen_model(tmp_path):
    made = []

    def model() -> WithRadar:
        made.append(WithRadar())
        return made[-1]

    recipe = toy_recipe(
        tmp_path,
        model=model,
        pairs=(PairRecipe(modality="radar", data=radar_pairs, temperature=0.1),),
        learns=Trunks(modalities=("radar",)),
        length=Steps(total=40, warmup=2),
    )
    train(recipe)
    losses = losses_of(read_log(tmp_path))
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()
    assert trainable_parts(made[0]) == {
        "modality_preprocessors.radar",
        "modality_trunks.radar",
        "modality_heads.radar",
    }
