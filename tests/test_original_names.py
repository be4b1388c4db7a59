"""Code written for the original: the names and calls that other projects rely on."""

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import config as configs
from imagebind.errors import CheckpointError
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel

FILES = Path(__file__).parent / "data" / "preprocessing"
SIX = {"vision", "text", "audio", "thermal", "depth", "imu"}


# ---- the package root


def test_importing_the_package_gives_its_parts_as_attributes_and_costs_nothing():
    code = (
        "import imagebind, sys; assert 'torch' not in sys.modules; "
        "print(imagebind.models.imagebind_model.imagebind_huge is imagebind.imagebind_huge, "
        "imagebind.imagebind_model is sys.modules['imagebind.models.imagebind_model'], "
        "imagebind.imagebind_model.ModalityType is imagebind.ModalityType, "
        "callable(imagebind.data.load_and_transform_text))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True"] * 4


def test_the_parts_can_be_imported_from_the_package():
    from imagebind import data, imagebind_model

    assert imagebind_model is import_module("imagebind.models.imagebind_model")
    assert data is import_module("imagebind.data")
    with pytest.raises(AttributeError, match="imagebind_modle"):
        _ = import_module("imagebind.models").imagebind_modle


def test_a_star_import_of_the_model_brings_the_function_that_builds_it():
    names: dict = {}
    exec("from imagebind.models.imagebind_model import *", names)
    assert callable(names["imagebind_huge"])
    assert names["ModalityType"] is ModalityType and names["ImageBindModel"] is ImageBindModel


# ---- ModalityType


def test_the_six_modalities_are_among_the_values_of_modality_type():
    for values in (vars(ModalityType).values(), ModalityType.__dict__.values()):
        assert {str(value) for value in values if isinstance(value, ModalityType)} == SIX
        assert all(modality in values for modality in SIX)
    assert ModalityType.VISION is ModalityType("vision") is ModalityType["VISION"]
    assert {member.value for member in ModalityType} == SIX


# ---- weights where the original looks


@pytest.fixture
def small_huge(monkeypatch, tmp_path) -> ImageBindModel:
    """A model of the tiny sizes with huge's vector length, which `imagebind_huge` builds for one test."""
    config = replace(configs.imagebind_tiny(), embed_dim=1024)
    monkeypatch.setattr(configs, "imagebind_huge", lambda: config)
    monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    return ImageBindModel(config).eval()


def save_where_the_original_looks(entries: dict) -> Path:
    path = Path(".checkpoints") / "imagebind_huge.pth"
    path.parent.mkdir()
    torch.save(entries, path)
    return path.resolve()


def test_weights_of_any_content_are_used_where_the_original_looks(small_huge, caplog):
    from imagebind import imagebind_model

    path = save_where_the_original_looks(small_huge.state_dict())
    loaded = imagebind_model.imagebind_huge(pretrained=True)
    for name, tensor in small_huge.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert f"used, though it is not the released file: {path}" in caplog.text


def test_weights_that_do_not_fit_are_named_where_the_original_looks(small_huge):
    from imagebind import imagebind_model

    entries = dict(small_huge.state_dict())
    entries.pop("modality_heads.text.proj.1.weight")
    path = save_where_the_original_looks(entries)
    with pytest.raises(CheckpointError, match=r"does not fit the model.*modality_heads\.text") as caught:
        imagebind_model.imagebind_huge(pretrained=True)
    assert str(path) in str(caught.value)


def test_lancedb_s_own_function_runs_unmodified(small_huge, tmp_path):
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
    sounds = [str(FILES / "mono_16k_7s.wav"), str(FILES / "mono_16k_7s.wav")]
    for sources in (images, sounds, ["a dog", "a red square"]):
        table = lancedb.connect(tmp_path / "db").create_table("media", schema=Media, mode="overwrite")
        table.add([{"source": source} for source in sources])
        best = table.search(sources[1]).limit(1).to_pandas()
        assert best["_distance"][0] < 1e-3
        expected = np.stack(function.compute_source_embeddings(sources))
        assert np.allclose(np.stack(table.to_pandas()["vector"]), expected, atol=1e-4)
    assert isinstance(function.embedding_model, ImageBindModel)
