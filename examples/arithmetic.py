"""Add the vectors of two items: an image plus audio finds images that match both.

    python examples/arithmetic.py
    python examples/arithmetic.py photos/ --image beach.jpg --audio rain.wav --model imagebind_huge

Without a folder it uses a toy world, and counts how often the first hit has the colour of the image, and how
often the shape of the audio.
"""

import argparse
from pathlib import Path

import numpy as np

from imagebind import Embedder
from imagebind.toyworld import World, render_audio, render_image, world_transforms

SUM_COUNT = 64  # queries in the toy world


def toy_world(model: str, gallery_size: int) -> tuple[float, float]:
    """Return two shares of sums: the first hit has the colour of the image, or the shape of the audio."""
    embedder = Embedder(model, transforms=world_transforms())
    scenes = [World(seed=3, held_out=True).scene(number) for number in range(SUM_COUNT)]
    gallery = [World(seed=4).scene(number) for number in range(gallery_size)]
    images = embedder.encode([{"image": render_image(scene)} for scene in scenes])
    recordings = [{"audio": waveform, "rate": rate} for waveform, rate in map(render_audio, scenes)]
    audio = embedder.encode(recordings)
    candidates = embedder.encode([{"image": render_image(scene)} for scene in gallery])

    other = np.roll(np.arange(SUM_COUNT), 1)  # each image is added to the audio of another scene
    sums = [embedder.combine([(images[i], 1.0), (audio[other[i]], 1.0)]) for i in range(SUM_COUNT)]
    found = [gallery[best] for best in (np.array(sums) @ candidates.T).argmax(axis=1)]
    colour = np.mean([found[i].colour == scenes[i].colour for i in range(SUM_COUNT)])
    shape = np.mean([found[i].shape == scenes[other[i]].shape for i in range(SUM_COUNT)])
    print(f"{colour:.0%} have the colour of the image, {shape:.0%} the shape of the audio; chance: 12%")
    return float(colour), float(shape)


def main(arguments: list[str] | None = None) -> list[Path] | tuple[float, float]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="folder of images to search; by default images of a toy world"
    )
    parser.add_argument("--image", type=Path, help="the image of the query; needs a folder")
    parser.add_argument("--audio", type=Path, help="the audio of the query; needs a folder")
    parser.add_argument("--weight", type=float, default=1.0, help="weight of the audio; the image has 1")
    parser.add_argument("--model", default="imagebind_tiny")
    parser.add_argument("--gallery", type=int, default=300, help="number of images of the toy world")
    options = parser.parse_args(arguments)

    if options.folder is None:
        return toy_world(options.model, options.gallery)
    if options.image is None or options.audio is None:
        parser.error("expected --image and --audio with a folder")
    embedder = Embedder(options.model)
    files = sorted(options.folder.iterdir())
    image, audio = embedder.encode([options.image, options.audio])
    query = embedder.combine([(image, 1.0), (audio, options.weight)])
    cosines = embedder.encode(files, on_error="skip") @ query  # NaN for a file that cannot be read
    order = np.argsort(-cosines)[: min(5, np.isfinite(cosines).sum())]
    print(*(files[number] for number in order), sep="\n")
    return [files[number] for number in order]


if __name__ == "__main__":
    main()
