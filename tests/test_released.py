"""The similarities of the original project's sample files with the released weights, if both are available.

Set IMAGEBIND_WEIGHTS to imagebind_huge.pth and IMAGEBIND_ASSETS to the folder of the six files.
"""

import os
from pathlib import Path

import pytest
import torch

from imagebind import data
from imagebind.checkpoints.factory import imagebind_huge

OBJECTS = ("dog", "car", "bird")
VISION_TEXT = [
    [9.9761e-01, 2.3694e-03, 1.8612e-05],
    [3.3836e-05, 9.9994e-01, 2.4118e-05],
    [4.7997e-05, 1.3496e-02, 9.8646e-01],
]
VISION_AUDIO = [[0.8070, 0.1088, 0.0842], [0.1036, 0.7884, 0.1079], [0.0018, 0.0022, 0.9960]]
VISION_VISION = {(0, 1): 0.3682, (0, 2): 0.4185, (1, 2): 0.3172}


@pytest.mark.huge
@pytest.mark.skipif(
    not {"IMAGEBIND_WEIGHTS", "IMAGEBIND_ASSETS"} <= set(os.environ),
    reason="needs IMAGEBIND_WEIGHTS and IMAGEBIND_ASSETS, the paths of the released file and of the samples",
)
def test_the_released_weights_give_the_published_similarities():
    folder = Path(os.environ["IMAGEBIND_ASSETS"])
    model = imagebind_huge(os.environ["IMAGEBIND_WEIGHTS"], modalities=["vision", "text", "audio"])
    inputs = {
        "vision": data.load_and_transform_vision_data([folder / f"{t}_image.jpg" for t in OBJECTS], "cpu"),
        "text": data.load_and_transform_text(["A dog.", "A car", "A bird"], "cpu"),
        "audio": data.load_and_transform_audio_data([folder / f"{t}_audio.wav" for t in OBJECTS], "cpu"),
    }
    with torch.inference_mode():
        rows = model(inputs)
    close = {"atol": 2e-3, "rtol": 0}
    torch.testing.assert_close(
        (rows["vision"] @ rows["text"].T).softmax(-1), torch.tensor(VISION_TEXT), **close
    )
    torch.testing.assert_close(
        (rows["vision"] @ rows["audio"].T).softmax(-1), torch.tensor(VISION_AUDIO), **close
    )
    torch.testing.assert_close((rows["audio"] @ rows["text"].T).softmax(-1), torch.eye(3), **close)
    cosines = rows["vision"] @ rows["vision"].T
    for (first, second), cosine in VISION_VISION.items():
        assert cosines[first, second].item() == pytest.approx(cosine, abs=2e-3)
