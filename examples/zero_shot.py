"""Classify files of any modality by the names of classes, without training.

    python examples/zero_shot.py
    python examples/zero_shot.py park.jpg engine.wav --classes dog "car | automobile" --model imagebind_huge

Several names of one class are separated by |. Without files it classifies audio and images of a toy world by
shape with the small model, which was never trained on pairs of audio and text.
"""

import argparse
from pathlib import Path

from imagebind import Embedder, ZeroShotClassifier
from imagebind.toyworld import ATTRIBUTES, read_manifest, world_transforms, write_world


def main(arguments: list[str] | None = None) -> dict[str, str] | dict[str, float]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--classes", nargs="+", default=list(ATTRIBUTES["shape"]))
    parser.add_argument("--model", default="imagebind_tiny")
    parser.add_argument("--scenes", type=int, default=32, help="number of scenes of the toy world")
    parser.add_argument("--out", type=Path, default=Path("zero_shot"), help="folder of the toy world")
    options = parser.parse_args(arguments)

    classes = [[name.strip() for name in names.split("|")] for names in options.classes]
    if options.files:
        classifier = ZeroShotClassifier(Embedder(options.model), classes)
        labels, probabilities = classifier.predict(options.files)
        for file, label, row in zip(options.files, labels, probabilities, strict=True):
            print(f"{file}: {label} ({row.max():.0%})")
        return dict(zip(map(str, options.files), labels, strict=True))

    entries = list(read_manifest(write_world(options.out, options.scenes, seed=3, held_out=True)))
    embedder = Embedder(options.model, transforms=world_transforms())
    classifier = ZeroShotClassifier(embedder, classes)
    accuracies = {}
    for kind in ("image", "audio"):
        labels, _ = classifier.predict([entry["files"][kind] for entry in entries])
        right = [label == entry["attributes"]["shape"] for label, entry in zip(labels, entries, strict=True)]
        accuracies[kind] = sum(right) / len(right)
        print(f"{kind}: {accuracies[kind]:.0%} of {len(right)} shapes are right; chance: 12%")
    return accuracies


if __name__ == "__main__":
    main()
