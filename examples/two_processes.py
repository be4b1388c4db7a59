"""Train one recipe on one process and on two: the loss curves agree, since each batch has the same pairs.

    python examples/two_processes.py

This file also contains the recipe. The script runs two commands like these, and compares their logs:

    imagebind train examples/two_processes.py --out one
    torchrun --standalone --nproc-per-node 2 -m imagebind.cli.main train examples/two_processes.py --out two

The script hides GPUs, so all ranks use the CPU and communicate through gloo; otherwise, on a machine with
GPUs, each rank uses one GPU and NCCL. The small model has random weights, and its pairs are rendered, so no
files are needed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from imagebind.config import ImageBindConfig, tiny_config
from imagebind.datasets.pairs import Pair, PairDataset
from imagebind.toyworld import BASELINE, FOCAL, World, render_depth, render_image
from imagebind.training.data.augment import AlignedImages
from imagebind.training.journal import read_log
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps

SCENES = 32


def pairs() -> PairDataset:
    """Return images and depth of a toy world; each rank renders all pairs and uses its share of a batch."""
    camera = {"focal": FOCAL, "baseline": BASELINE}
    scenes = [World(seed=0).scene(number) for number in range(SCENES)]
    return PairDataset(
        [
            Pair(
                vision=render_image(scene),
                other={"depth": render_depth(scene), **camera},
                modality="depth",
                name=f"scene {number}",
            )
            for number, scene in enumerate(scenes)
        ],
        AlignedImages(),
    )


recipe = Recipe(
    model=ImageBindConfig(
        embed_dim=tiny_config().embed_dim, vision=tiny_config().vision, depth=tiny_config().depth
    ),
    pairs=(PairRecipe(modality="depth", data=pairs, temperature=0.2),),
    optimizer=AdamW(lr=1e-3),
    length=Steps(total=6, warmup=2),
    batch_size=8,  # over all ranks: 4 on each of two
    output="two_processes",
    trackers=(),
)


def run(processes: int, output: Path) -> list[float]:
    """Run this file as a recipe, and return the loss of each step."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    module = ["-m", *(launcher if processes > 1 else []), "imagebind.cli.main"]
    on_cpu = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *module, "train", __file__, "--out", output], env=on_cpu, check=True)
    return [record["loss"] for record in read_log(output) if "loss" in record]


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(recipe.output))
    options = parser.parse_args(arguments)

    one, two = run(1, options.out / "one"), run(2, options.out / "two")
    print("step   one process   two")
    for step, losses in enumerate(zip(one, two, strict=True), start=1):
        print("{:4}   {:11.6f}   {:.6f}".format(step, *losses))
    largest = max(abs(a - b) / a for a, b in zip(one, two, strict=True))
    print(f"the largest difference is {largest:.1e} of the loss")
    return largest


if __name__ == "__main__":
    main()
