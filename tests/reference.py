"""Deterministic weights and inputs, for comparing this model with reference results of the released one."""

import json
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from imagebind.config import (
    AudioConfig,
    ImageBindConfig,
    ImuConfig,
    OneChannelConfig,
    TextConfig,
    VisionConfig,
)
from imagebind.models.imagebind_model import ImageBindModel

DATA = Path(__file__).parent / "data"
sys.path.insert(0, str(DATA))

from fill import fill_state_dict  # noqa: E402  (found through sys.path)

INPUT_SHAPES = {
    "vision": (2, 3, 224, 224),
    "audio": (2, 3, 1, 128, 204),
    "depth": (2, 1, 224, 224),
    "thermal": (2, 1, 224, 224),
    "imu": (2, 6, 2000),
    "video": (1, 2, 3, 2, 224, 224),
    "vision336": (1, 3, 336, 336),
}


def reference_input(name: str) -> torch.Tensor:
    seed = zlib.crc32(f"input.{name}".encode())
    rng = np.random.Generator(np.random.PCG64([0, seed]))
    return torch.from_numpy(rng.standard_normal(INPUT_SHAPES[name], dtype=np.float32))


@cache
def reference_texts() -> list[str]:
    return json.loads((DATA / "config.json").read_text())["texts"]


@cache
def small_config() -> ImageBindConfig:
    """Return the sizes of `config.json`, which has the original project's names, as a config."""
    s = json.loads((DATA / "config.json").read_text())["small"]
    return ImageBindConfig(
        embed_dim=s["out_embed_dim"],
        vision=VisionConfig(
            embed_dim=s["vision_embed_dim"],
            num_blocks=s["vision_num_blocks"],
            num_heads=s["vision_num_heads"],
            patch_size=s["kernel_size"][1],
            frames=s["video_frames"],
        ),
        text=TextConfig(
            embed_dim=s["text_embed_dim"], num_blocks=s["text_num_blocks"], num_heads=s["text_num_heads"]
        ),
        audio=AudioConfig(
            embed_dim=s["audio_embed_dim"],
            num_blocks=s["audio_num_blocks"],
            num_heads=s["audio_num_heads"],
            mel_bins=s["audio_num_mel_bins"],
            mel_frames=s["audio_target_len"],
            patch_size=s["audio_kernel_size"],
            stride=s["audio_stride"],
            drop_path_rate=s["audio_drop_path"],
        ),
        depth=OneChannelConfig(
            embed_dim=s["depth_embed_dim"],
            num_blocks=s["depth_num_blocks"],
            num_heads=s["depth_num_heads"],
            patch_size=s["depth_kernel_size"],
        ),
        thermal=OneChannelConfig(
            embed_dim=s["thermal_embed_dim"],
            num_blocks=s["thermal_num_blocks"],
            num_heads=s["thermal_num_heads"],
            patch_size=s["thermal_kernel_size"],
        ),
        imu=ImuConfig(
            embed_dim=s["imu_embed_dim"],
            num_blocks=s["imu_num_blocks"],
            num_heads=s["imu_num_heads"],
            window=s["imu_kernel_size"],
            drop_path_rate=s["imu_drop_path"],
        ),
    )


def filled_model(config: ImageBindConfig, **options) -> ImageBindModel:
    """Return a model with the deterministic weights, in evaluation mode."""
    model = ImageBindModel(config, **options)
    fill_state_dict(model.state_dict())
    return model.eval()


def stages(model: ImageBindModel, modality: str, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the embedding and the outputs before it, sliced as in the reference files."""
    outputs = {}
    hooks = [
        part[modality].register_forward_hook(lambda _module, _in, out, name=name: outputs.update({name: out}))
        for name, part in (
            ("tokens", model.modality_preprocessors),
            ("trunk", model.modality_trunks),
            ("head", model.modality_heads),
        )
    ]
    with torch.inference_mode():
        embedding = model({modality: inputs})[modality]
    for hook in hooks:
        hook.remove()
    return {
        "embedding": embedding,
        "tokens_first8": outputs["tokens"]["trunk"]["tokens"][:, :4, :8],
        "trunk_first8": outputs["trunk"][:, :4, :8],
        "head_first8": outputs["head"][:, :8],
    }
