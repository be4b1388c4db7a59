"""Embed a stream of files of any length, and write the vectors to a table.

    python examples/batch_embedding.py
    python examples/batch_embedding.py media/ --out vectors.parquet --model imagebind_huge --batch-size 64

Threads decode files while the model computes. Memory is bounded, except for .npz, whose rows are written at
the end. Files that cannot be read and files of ambiguous media type are reported and skipped.
Without a folder it writes and embeds a toy world. `imagebind embed` does the same from the command line.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from imagebind import Embedder
from imagebind.toyworld import write_world
from imagebind.vectors import VectorFile, rows_of


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, without hidden files; list one folder at a time."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from files_below(entry)
        elif not entry.name.startswith("."):
            yield entry


def main(arguments: list[str] | None = None) -> Counter[str]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="folder to embed; by default a toy world")
    parser.add_argument("--out", type=Path, default=Path("vectors.parquet"), help=".parquet, .jsonl or .npz")
    parser.add_argument("--model", default="imagebind_tiny")
    parser.add_argument("--batch-size", type=int, default=32, help="views per forward pass")
    parser.add_argument("--scenes", type=int, default=8, help="number of scenes of the toy world")
    options = parser.parse_args(arguments)

    folder = options.folder or options.out.with_suffix("")
    if options.folder is None:
        write_world(folder, options.scenes, seed=3)
    embedder = Embedder(options.model)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with VectorFile(options.out, embed_dim=embedder.embed_dim) as table:
        for result in embedder.encode_stream(files_below(folder), batch_size=options.batch_size):
            if result.error is not None:
                counts["failed"] += 1
                print(result.error)
                continue
            counts[str(result.kind)] += 1
            for row in rows_of(result):
                table.write(row)
    embedded = counts.total() - counts["failed"]
    rate = embedded / (time.monotonic() - began)
    print(f"{embedded} files in {options.out}, {rate:.1f} files/s: {dict(counts)}")
    return counts


if __name__ == "__main__":
    main()
