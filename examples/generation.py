"""Make images from audio and a text; the decoder of the small model was trained on images only.

    python examples/generation.py --out images

It writes a scene of the toy world, and four images each for its audio, for a text, and for their sum.
"""

import argparse
from pathlib import Path

from imagebind import Embedder
from imagebind.applications.generation import contact_sheet, generate
from imagebind.toyworld import World, world_transforms, write_scene


def main(arguments: list[str] | None = None) -> list[Path]:
    """Write the images; return their paths."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True, help="folder for the images")
    parser.add_argument("--text", default="a blue thing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    audio = write_scene(World(seed=1).scene(0), options.out / "scene")["audio"]
    embedder = Embedder("imagebind_tiny", transforms=world_transforms())
    queries = {
        "audio": audio,
        "text": options.text,
        "sum": [(audio, 0.5), (options.text, 0.5)],
    }
    written = []
    for name, query in queries.items():
        images = generate(embedder, query, count=4, seed=options.seed)
        written.append(options.out / f"{name}.png")
        contact_sheet(images).save(written[-1])
    return written


if __name__ == "__main__":
    main()
