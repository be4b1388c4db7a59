"""Train a trunk on your own pairs against frozen vision, and compare retrieval before and after.

    python examples/own_manifest.py
    python examples/own_manifest.py --manifest pairs.csv --modality depth --weights imagebind_huge/

A manifest is a CSV, JSON lines or parquet table with a column `vision` and a column named after the other
modality. A cell is a path relative to the manifest's folder, or a URI; in the column `text`, it is the text:

    vision,thermal
    yard/0001.jpg,yard/0001_thermal.png

Every fourth pair is held out for retrieval. The trunk learns embeddings close to those of vision, so they are
also comparable with those of text and the other modalities, which stay frozen. Without a manifest, the script
writes one for a thermal camera that the small model was not trained on: hot is dark and cold is bright. It
needs `pip install 'imagebind[train]'`.
"""

import argparse
import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imagebind import load_model
from imagebind.checkpoints.factory import TINY_FOLDER
from imagebind.datasets.manifest import read_pairs
from imagebind.datasets.pairs import PairDataset, by_modality
from imagebind.toyworld import THERMAL_HIGH, THERMAL_LOW, read_manifest, write_world
from imagebind.training.data.augment import pair_transform
from imagebind.training.evaluate import Retrieval
from imagebind.training.loop import train
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps
from imagebind.training.tuning import Trunks

HOLD_OUT = 4  # every fourth pair is held out
CROP_SCALE = (0.7, 1.0)  # of an image's area; the paper's smaller crops need more than a few hundred pairs
TEMPERATURE = 0.1


def write_manifest(folder: Path, scenes: int) -> Path:
    """Write a manifest of images of a toy world, paired with thermal images in which hot is black."""
    manifest = folder / "pairs.csv"
    entries = read_manifest(write_world(folder, scenes, seed=1))
    with manifest.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["vision", "thermal"])
        for entry in entries:
            image, thermal = entry["files"]["image"], entry["files"]["thermal"]
            counts = np.asarray(Image.open(thermal), dtype=np.float32)
            cold = (THERMAL_HIGH - counts) / (THERMAL_HIGH - THERMAL_LOW)
            black_hot = thermal.with_name("black_hot.png")
            Image.fromarray((255 * cold.clip(0, 1)).astype(np.uint8)).save(black_hot)
            table.writerow([image.relative_to(folder), black_hot.relative_to(folder)])
    return manifest


def show(when: str, figures: Mapping[str, float], count: int) -> None:
    recall, rank = figures["from_vision_r5"], figures["from_vision_median_rank"]
    print(f"{when}: R@5 among {count} {recall:.0%}, median rank {rank:g}")


def main(arguments: list[str] | None = None) -> tuple[dict[str, float], dict[str, float]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, help="your pairs; by default pairs of a toy world")
    parser.add_argument("--modality", default="thermal", help="the modality to train")
    parser.add_argument("--weights", type=Path, default=TINY_FOLDER, help="a folder for load_model")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--scenes", type=int, default=128, help="number of scenes of the toy world")
    parser.add_argument("--out", type=Path, default=Path("own_manifest"))
    options = parser.parse_args(arguments)

    manifest = options.manifest or write_manifest(options.out / "world", options.scenes)
    pairs = by_modality(read_pairs(manifest))[options.modality]
    held_out = pairs[::HOLD_OUT]
    training_pairs = [pair for index, pair in enumerate(pairs) if index % HOLD_OUT]
    transform = replace(pair_transform(options.modality), scale=CROP_SCALE)
    retrieval = Retrieval(data=partial(PairDataset, held_out, transform.plain()))
    recipe = Recipe(
        model=partial(load_model, options.weights, dtype=torch.float32),
        pairs=(
            PairRecipe(
                modality=options.modality,
                data=partial(PairDataset, training_pairs, transform),
                temperature=TEMPERATURE,
            ),
        ),
        learns=Trunks(modalities=(options.modality,)),
        optimizer=AdamW(lr=1e-3, weight_decay=0.1),
        length=Steps(total=options.steps, warmup=options.steps // 10),
        batch_size=options.batch_size,
        output=options.out,
    )
    with torch.inference_mode():
        before = retrieval(load_model(options.weights, dtype=torch.float32))
    show("before", before, len(held_out))
    result = train(recipe)
    with torch.inference_mode():
        after = retrieval(load_model(result.model))
    show("after ", after, len(held_out))
    print(f"the model is in {result.model}")
    return before, after


if __name__ == "__main__":
    main()
