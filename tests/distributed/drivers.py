"""Models that block at one text or end their process at it, and a run for a test to kill.

python drivers.py FOLDER OUT ADDRESS
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.distributed.job import EmbedJob, prepare
from imagebind.distributed.ray_engine import Cluster, embed
from imagebind.embedder import Embedder
from imagebind.transforms.text import Tokenizer

STUCK, DEADLY = "stuck", "deadly"


def load_stuck(folder: Path, device: str) -> Embedder:
    """Return the tiny model; it waits at the text "stuck" until a file `go` exists."""

    def read(text: str):
        while text == STUCK and not (folder / "go").exists():
            time.sleep(0.05)
        return Tokenizer()(text)

    return Embedder(imagebind_tiny(pretrained=True), transforms={"text": read}, device=device)


def load_deadly(device: str) -> Embedder:
    """Return the tiny model; its process ends at the text "deadly"."""

    def read(text: str):
        if text == DEADLY:
            os._exit(1)
        return Tokenizer()(text)

    return Embedder(imagebind_tiny(pretrained=True), transforms={"text": read}, device=device)


def prepared(folder: Path, out: Path, *, partitions: int = 100) -> EmbedJob:
    return prepare(sorted(map(str, folder.glob("*.txt"))), out, partitions=partitions)


if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for _ in embed(prepared(folder, out), partial(load_stuck, folder), cluster=Cluster(address=sys.argv[3])):
        pass
