"""Fine-tune the audio and depth trunks with LoRA on your own pairs; all other weights stay identical.

    python examples/lora_two_trunks.py
    python examples/lora_two_trunks.py --manifest pairs.csv --weights imagebind_huge/ --steps 2000

Without a manifest it fine-tunes the small model on a toy world, offline and in less than a minute. It writes
a small adapter for peft and the merged model for `load_model`, and prints how far their embeddings differ.
`--weights` is a folder that `save_model` or `imagebind weights convert` wrote. The script needs
`pip install 'imagebind[train]'`.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel

from imagebind import Embedder, ImageBindModel, load_model
from imagebind.checkpoints.factory import TINY_FOLDER
from imagebind.datasets.manifest import read_pairs
from imagebind.datasets.pairs import Pair, PairDataset, by_modality
from imagebind.toyworld import BASELINE, FOCAL, read_manifest, write_world
from imagebind.training.data.augment import pair_transform
from imagebind.training.loop import TrainResult, train
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps
from imagebind.training.tuning import Lora

TEMPERATURES = {"audio": 0.05, "depth": 0.2}  # the paper's, Table 9


def write_pairs(folder: Path, scenes: int) -> Path:
    """Write a manifest of a toy world: videos paired with audio, and images paired with depth."""
    camera = {"depth.focal": FOCAL, "depth.baseline": BASELINE}
    rows = []
    for entry in read_manifest(write_world(folder, scenes, seed=1)):
        files = {kind: str(path.absolute()) for kind, path in entry["files"].items()}
        rows.append({"vision": files["video"], "audio": files["audio"]})
        rows.append({"vision": files["image"], "depth": files["depth"], **camera})
    manifest = folder / "pairs.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return manifest


def make_recipe(weights: Path, pairs: dict[str, list[Pair]], *, steps: int, output: Path) -> Recipe:
    """Return a recipe whose batches pair vision with one modality; frozen vision keeps both in one space."""
    return Recipe(
        model=partial(load_model, weights, dtype=torch.float32),
        pairs=tuple(
            PairRecipe(
                modality=modality,
                data=partial(PairDataset, pairs[modality], pair_transform(modality)),
                temperature=temperature,
            )
            for modality, temperature in TEMPERATURES.items()
        ),
        learns=Lora(modalities=tuple(TEMPERATURES), rank=8),
        optimizer=AdamW(lr=1e-3),
        length=Steps(total=steps, warmup=steps // 10),
        batch_size=16,
        output=output,
    )


def with_adapter(weights: Path, adapter: Path) -> ImageBindModel:
    """Return the model with the adapter, not merged, so that several adapters can share the weights."""
    return PeftModel.from_pretrained(load_model(weights, dtype=torch.float32), adapter).get_base_model()


def changed_parts(before: ImageBindModel, after: ImageBindModel) -> set[str]:
    """Return the parts that differ in any bit, such as "modality_trunks.audio"."""
    old, new = before.state_dict(), after.state_dict()
    return {".".join(name.split(".")[:2]) for name in old if not torch.equal(old[name], new[name])}


def main(arguments: list[str] | None = None) -> TrainResult:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, help="a table with columns vision, audio and depth")
    parser.add_argument("--weights", type=Path, default=TINY_FOLDER, help="a folder for load_model")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--scenes", type=int, default=48, help="number of scenes of the toy world")
    parser.add_argument("--out", type=Path, default=Path("lora_two_trunks"))
    options = parser.parse_args(arguments)

    manifest = options.manifest or write_pairs(options.out / "world", options.scenes)
    pairs = by_modality(read_pairs(manifest))
    result = train(make_recipe(options.weights, pairs, steps=options.steps, output=options.out))
    print(f"the adapter is in {result.adapter}, the merged model in {result.model}")

    plain, merged = load_model(options.weights, dtype=torch.float32), load_model(result.model)
    print("changed:", ", ".join(sorted(changed_parts(plain, merged))))

    adapted = with_adapter(options.weights, result.adapter)
    for modality in TEMPERATURES:
        files = [pair.other for pair in pairs[modality][:8]]
        before, one, two = (Embedder(model).encode(files) for model in (plain, adapted, merged))
        difference, change = abs(one - two).max(), abs(before - two).max()
        print(
            f"{modality}: merged model and adapter differ by {difference:.0e}; "
            f"training changed the vectors by {change:.0e}"
        )
    return result


if __name__ == "__main__":
    main()
