"""Tests of the original project's names and calls, which other projects use."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import config as configs
from imagebind.errors import CheckpointError, MissingExtraError
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel

FILES = Path(__file__).parent / "data" / "preprocessing"
SIX_MODALITIES = {"vision", "text", "audio", "thermal", "depth", "imu"}


# ---- the package root


def test_importing_the_package_loads_no_torch_and_gives_its_modules_as_attributes():
    code = (
        "import imagebind, sys; assert 'torch' not in sys.modules; "
        "print(imagebind.models.imagebind_model.imagebind_huge is imagebind.imagebind_huge, "
        "imagebind.imagebind_model is sys.modules['imagebind.models.imagebind_model'], "
        "imagebind.imagebind_model.ModalityType is imagebind.ModalityType, "
        "callable(imagebind.data.load_and_transform_text))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True"] * 4


def test_the_modules_can_be_imported_from_the_package():
    from imagebind import data, imagebind_model

    assert imagebind_model is import_module("imagebind.models.imagebind_model")
    assert data is import_module("imagebind.data")
    with pytest.raises(AttributeError, match="imagebind_modle"):
        _ = import_module("imagebind.models").imagebind_modle


def test_a_star_import_of_the_model_has_the_function_that_builds_it():
    names: dict = {}
    exec("from imagebind.models.imagebind_model import *", names)
    assert callable(names["imagebind_huge"])
    assert names["ModalityType"] is ModalityType and names["ImageBindModel"] is ImageBindModel


# ---- ModalityType


def test_the_six_modalities_are_among_the_values_of_modality_type():
    for values in (vars(ModalityType).values(), ModalityType.__dict__.values()):
        assert {str(value) for value in values if isinstance(value, ModalityType)} == SIX_MODALITIES
        assert all(modality in values for modality in SIX_MODALITIES)
    assert ModalityType.VISION is ModalityType("vision") is ModalityType["VISION"]
    assert {member.value for member in ModalityType} == SIX_MODALITIES


def test_plain_torch_loads_saved_embeddings_by_modality(tmp_path):
    torch.save({ModalityType.VISION: torch.ones(2)}, tmp_path / "embeddings.pt")
    loaded = torch.load(tmp_path / "embeddings.pt")
    assert loaded["vision"] is loaded[ModalityType.VISION] and list(loaded) == ["vision"]


# ---- layers


PATCH_PREPROCESSORS = r"modality_preprocessors\.(vision|audio|depth|thermal)"
ATTENTION = r"modality_trunks\.\w+\.blocks\.\d+\.attn"
# The original's module and name of a class -> the parts of a model that are its instances.
LAYERS = {
    "multimodal_preprocessors.PatchEmbedGeneric": r"modality_preprocessors\.\w+\.\w+_stem",
    "multimodal_preprocessors.PadIm2Video": r"modality_preprocessors\.vision\.rgbt_stem\.proj\.0",
    "multimodal_preprocessors.SpatioTemporalPosEmbeddingHelper": PATCH_PREPROCESSORS
    + r"\.pos_embedding_helper",
    "multimodal_preprocessors.RGBDTPreprocessor": PATCH_PREPROCESSORS,
    "multimodal_preprocessors.AudioPreprocessor": r"modality_preprocessors\.audio",
    "multimodal_preprocessors.ThermalPreprocessor": r"modality_preprocessors\.thermal",
    "multimodal_preprocessors.TextPreprocessor": r"modality_preprocessors\.text",
    "multimodal_preprocessors.IMUPreprocessor": r"modality_preprocessors\.imu",
    "helpers.SelectEOSAndProject": r"modality_heads\.text",
    "transformer.SimpleTransformer": r"modality_trunks\.\w+",
    "transformer.BlockWithMasking": r"modality_trunks\.\w+\.blocks\.\d+",
    "transformer.Attention": ATTENTION,
    "transformer.MultiheadAttention": ATTENTION,
    "transformer.Mlp": r"modality_trunks\.\w+\.blocks\.\d+\.mlp",
}


@pytest.fixture(scope="module")
def model() -> ImageBindModel:
    return ImageBindModel(configs.tiny_config(), device="meta")


def original_module(name: str) -> ModuleType:
    return import_module(f"imagebind.models.{name}")


def original_class(path: str) -> type:
    module, name = path.split(".")
    return getattr(original_module(module), name)


@pytest.mark.parametrize("path", LAYERS)
def test_our_layers_are_instances_of_the_classes_at_the_original_paths(path, model):
    original = original_class(path)
    parts = dict(model.named_modules())
    found = {name for name, part in parts.items() if isinstance(part, original)}
    assert found == {name for name in parts if re.fullmatch(LAYERS[path], name)} and found
    assert all(issubclass(type(parts[name]), original) for name in found)


@pytest.mark.parametrize("path", [path for path in LAYERS if path != "transformer.Mlp"])
def test_building_a_layer_with_the_originals_arguments_names_its_replacement(path):
    original = original_class(path)
    for built in (original, type("Mine", (original,), {})):
        with pytest.raises(TypeError, match="cannot be built with the original's arguments") as caught:
            built(1024, kernel_size=(2, 14, 14))
        module, name = re.findall(r"build (imagebind\.models\.\w+)\.(\w+)", str(caught.value))[0]
        assert issubclass(getattr(import_module(module), name), original)


def test_small_layers_work_with_the_originals_arguments(model):
    from imagebind.models.helpers import LearnableLogitScaling, Normalize, SelectElement, cast_if_src_dtype
    from imagebind.models.transformer import Mlp

    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Normalize(dim=-1)(x).norm(dim=-1), torch.ones(2, 3))
    assert torch.allclose(Normalize(1)(x).norm(dim=1), torch.ones(2, 4))
    assert torch.equal(SelectElement(index=1)(x), x[:, 1])
    scale = LearnableLogitScaling()
    assert torch.allclose(scale(x), x / 0.07) and len(list(scale.parameters())) == 1
    assert (scale.max_logit_scale, scale.learnable) == (100, True)
    fixed = LearnableLogitScaling(logit_scale_init=20.0, learnable=False, max_logit_scale=10)
    assert torch.allclose(fixed(x), 10 * x) and not list(fixed.parameters())
    assert fixed.state_dict().keys() == {"log_logit_scale"}
    assert Mlp(in_features=4, hidden_features=8)(x).shape == x.shape
    assert cast_if_src_dtype(x, torch.float32, torch.float64)[0].dtype == torch.float64
    assert cast_if_src_dtype(x, torch.bfloat16, torch.float64)[1] is False
    for name in SIX_MODALITIES - {"vision"}:
        postprocessor = model.modality_postprocessors[name]
        if len(postprocessor) > 1:
            assert isinstance(postprocessor[1], LearnableLogitScaling)
        assert isinstance(postprocessor[0], Normalize)
    assert not isinstance(torch.nn.Identity(), Normalize | LearnableLogitScaling | SelectElement)


def test_einops_is_needed_only_when_called(monkeypatch):
    from imagebind.models.helpers import EinOpsRearrange, VerboseNNModule

    layer = EinOpsRearrange("b (h d) -> b h d", h=2)
    assert isinstance(layer, VerboseNNModule)
    with monkeypatch.context() as without, pytest.raises(MissingExtraError, match="einops"):
        without.setitem(sys.modules, "einops", None)
        layer(torch.zeros(3, 8))
    pytest.importorskip("einops")
    assert layer(torch.zeros(3, 8)).shape == (3, 2, 4)


def test_the_tokenizer_has_the_originals_path():
    from imagebind import data
    from imagebind.models.multimodal_preprocessors import SimpleTokenizer

    assert SimpleTokenizer is data.SimpleTokenizer
    names: dict = {}
    exec("from imagebind.models.multimodal_preprocessors import *", names)
    assert names["SimpleTokenizer"](data.BPE_PATH, context_length=8)("a dog").shape == (8,)


def test_the_page_about_the_original_lists_every_layer():
    root = Path(__file__).parent.parent
    page = (root / "docs" / "coming-from-the-original.md").read_text(encoding="utf-8")
    assert "docs/coming-from-the-original.md" in (root / "README.md").read_text(encoding="utf-8")
    helpers, preprocessors = original_module("helpers"), original_module("multimodal_preprocessors")
    names = {*helpers.__all__, *preprocessors.__all__, *(path.split(".")[1] for path in LAYERS)}
    assert {name for name in names if f"`{name}" not in page} == set()


# ---- weights at the original's path


@pytest.fixture
def small_huge(monkeypatch, tmp_path) -> ImageBindModel:
    """A tiny model with the huge model's embedding length, which `imagebind_huge` builds in a test."""
    config = replace(configs.tiny_config(), embed_dim=1024)
    monkeypatch.setattr(configs, "huge_config", lambda: config)
    monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    return ImageBindModel(config).eval()


def save_where_the_original_looks(entries: dict) -> Path:
    path = Path(".checkpoints") / "imagebind_huge.pth"
    path.parent.mkdir()
    torch.save(entries, path)
    return path.resolve()


def test_other_weights_at_the_originals_path_are_used(small_huge, caplog):
    from imagebind import imagebind_model

    path = save_where_the_original_looks(small_huge.state_dict())
    loaded = imagebind_model.imagebind_huge(pretrained=True)
    for name, tensor in small_huge.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert f"using a file that is not the released one: {path}" in caplog.text


def test_weights_at_the_originals_path_that_do_not_fit_raise_an_error(small_huge):
    from imagebind import imagebind_model

    entries = dict(small_huge.state_dict())
    entries.pop("modality_heads.text.proj.1.weight")
    path = save_where_the_original_looks(entries)
    with pytest.raises(CheckpointError, match=r"does not fit the model.*modality_heads\.text") as caught:
        imagebind_model.imagebind_huge(pretrained=True)
    assert str(path) in str(caught.value)


def test_the_function_of_lancedb_runs_unmodified(small_huge, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    from lancedb.embeddings import get_registry
    from lancedb.pydantic import LanceModel, Vector

    save_where_the_original_looks(small_huge.state_dict())
    function = get_registry().get("imagebind").create()

    class Media(LanceModel):
        source: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

    images = [str(tmp_path / name) for name in ("red.png", "blue.png")]
    Image.new("RGB", (64, 64), "red").save(images[0])
    Image.new("RGB", (64, 64), "blue").save(images[1])
    audio = [str(FILES / "mono_16k_7s.wav"), str(FILES / "mono_16k_7s.wav")]
    for sources in (images, audio, ["a dog", "a red square"]):
        table = lancedb.connect(tmp_path / "db").create_table("media", schema=Media, mode="overwrite")
        table.add([{"source": source} for source in sources])
        best = table.search(sources[1]).limit(1).to_pandas()
        assert best["_distance"][0] < 1e-3
        expected = np.stack(function.compute_source_embeddings(sources))
        assert np.allclose(np.stack(table.to_pandas()["vector"]), expected, atol=1e-4)
    assert isinstance(function.embedding_model, ImageBindModel)
