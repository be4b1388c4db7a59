"""The examples run, and do what they say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from imagebind.checkpoint import save_state_dict
from tests.reference import small_config

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'example("{path.stem}")' not in tested] == []


def test_a_new_head_learns_classes_on_a_frozen_trunk(tmp_path, small_model):
    rng = np.random.default_rng(0)
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (40, 40, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    save_state_dict(small_model.state_dict(), tmp_path / "small.pth")
    folders = [str(tmp_path / "red"), str(tmp_path / "blue")]
    arguments = [*folders, "--weights", str(tmp_path / "small.pth")]
    assert example("new_head").main(arguments, small_config()) == 1.0


def test_a_new_modality_aligns_to_frozen_vision():
    first, last = example("new_modality").main(steps=30)
    assert last < 0.7 * first
