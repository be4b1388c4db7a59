"""Find the files of a folder that are most similar to a text or an audio file.

    python examples/retrieval.py
    python examples/retrieval.py photos/ --text "a dog on a beach" --model imagebind_huge
    python examples/retrieval.py photos/ --audio bark.wav --model imagebind_huge

Without a folder it writes a toy world and searches its images with the small model. For many files or
repeated queries, build an index with `imagebind index` and search it with `imagebind search`.
"""

import argparse
from pathlib import Path

from imagebind import Embedder
from imagebind.toyworld import read_manifest, write_world


def toy_images(folder: Path, scenes: int) -> list[Path]:
    """Write a toy world, and return its images."""
    return [entry["files"]["image"] for entry in read_manifest(write_world(folder, scenes, seed=3))]


def nearest(embedder: Embedder, query: object, files: list[Path], k: int) -> list[tuple[Path, float]]:
    """Return the k files most similar to a query with their cosines, best first; skip files that fail."""
    vectors = embedder.encode(files, on_error="skip")  # (n, e), NaN for a file that cannot be read
    cosines = vectors @ embedder.encode(query)  # (n,)
    ranked = sorted(zip(cosines.tolist(), files, strict=True), key=lambda pair: -pair[0])
    return [(file, cosine) for cosine, file in ranked if cosine == cosine][:k]


def main(arguments: list[str] | None = None) -> list[tuple[Path, float]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="folder of the files to search; by default images of a toy world"
    )
    query = parser.add_mutually_exclusive_group()
    query.add_argument("--text", default="a red thing")
    query.add_argument("--audio", type=Path)
    parser.add_argument("--model", default="imagebind_tiny")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=32, help="number of scenes of the toy world")
    parser.add_argument("--out", type=Path, default=Path("retrieval"), help="folder of the toy world")
    options = parser.parse_args(arguments)

    files = sorted(options.folder.iterdir()) if options.folder else toy_images(options.out, options.scenes)
    embedder = Embedder(options.model)
    hits = nearest(embedder, options.audio or options.text, files, options.top)
    for file, cosine in hits:
        print(f"{cosine:6.3f}  {file}")
    return hits


if __name__ == "__main__":
    main()
