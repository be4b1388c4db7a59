"""Traced and exported models give the eager results for other batch sizes and other text lengths."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.transforms.text import Tokenizer

SHAPES = {
    "vision": (3, 224, 224),
    "audio": (2, 1, 128, 204),
    "depth": (1, 224, 224),
    "thermal": (1, 224, 224),
    "imu": (6, 2000),
}
MODALITIES = ("text", *SHAPES)
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


class OneModality(nn.Module):
    """Takes and returns one tensor, as most exporters require."""

    def __init__(self, model: nn.Module, modality: str) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model({self.modality: inputs})[self.modality]


@pytest.fixture(scope="module")
def model():
    return imagebind_tiny(pretrained=True).eval()


def example(modality: str, rows: int, length: int = 77) -> Tensor:
    if modality == "text":
        return Tokenizer()(["a red star", "a dog by the sea in the rain", "a blue square"][:rows])[:, :length]
    return torch.randn(rows, *SHAPES[modality], generator=torch.Generator().manual_seed(rows))


def dynamic_sizes(modality: str) -> dict[int, object]:
    return {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} if modality == "text" else {0: Dim.DYNAMIC}


def assert_equals_eager(model: nn.Module, modality: str, run: Callable[[Tensor], object]) -> None:
    others = [example("text", 1, 12), example("text", 3, 20), example("text", 3)]
    with torch.no_grad():
        for inputs in others if modality == "text" else [example(modality, 1), example(modality, 3)]:
            expected = model({modality: inputs})[modality]
            torch.testing.assert_close(torch.as_tensor(run(inputs)), expected, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_traced_model_accepts_another_batch_size_and_text_length(model, modality):
    inputs = example(modality, 2)
    with torch.no_grad():
        traced = torch.jit.trace(OneModality(model, modality), (inputs,), check_trace=False)
    assert_equals_eager(model, modality, traced)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("modalities", [("text", "imu"), pytest.param(MODALITIES, marks=pytest.mark.huge)])
def test_an_exported_model_accepts_another_batch_size_and_text_length(model, modalities):
    inputs = {modality: example(modality, 2) for modality in modalities}
    sizes = {modality: dynamic_sizes(modality) for modality in modalities}
    exported = torch.export.export(model, (inputs,), dynamic_shapes=(sizes,)).module()
    others = {modality: example(modality, 3, 20) for modality in modalities}
    with torch.no_grad():
        expected, got = model(others), exported(others)
    assert list(got) == list(expected)
    for modality, rows in expected.items():
        torch.testing.assert_close(got[modality], rows, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.huge
@pytest.mark.parametrize("modality", MODALITIES)
def test_an_onnx_model_accepts_another_batch_size_and_text_length(model, modality, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.onnx.export(
        OneModality(model, modality),
        (example(modality, 2),),
        tmp_path / "model.onnx",
        dynamo=True,
        dynamic_shapes=(dynamic_sizes(modality),),
        verbose=False,
    )
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    name = session.get_inputs()[0].name
    assert_equals_eager(model, modality, lambda inputs: session.run(None, {name: inputs.numpy()})[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("modality", MODALITIES)
def test_an_onnx_model_of_torchscript_accepts_another_batch_size_and_text_length(model, modality, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    sizes = {0: "batch", 1: "length"} if modality == "text" else {0: "batch"}
    torch.onnx.export(
        OneModality(model, modality),
        (example(modality, 2),),
        tmp_path / "model.onnx",
        dynamo=False,
        input_names=["inputs"],
        dynamic_axes={"inputs": sizes},
    )
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    assert_equals_eager(model, modality, lambda inputs: session.run(None, {"inputs": inputs.numpy()})[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.huge
@pytest.mark.parametrize("modality", MODALITIES)
def test_an_openvino_model_accepts_another_batch_size_and_text_length(model, modality):
    openvino = pytest.importorskip("openvino")
    with torch.no_grad():
        converted = openvino.convert_model(OneModality(model, modality), example_input=example(modality, 2))
    compiled = openvino.compile_model(converted, "CPU")
    assert_equals_eager(model, modality, lambda inputs: compiled(inputs.numpy())[0])
