"""Evaluates the small decoder on the toy world: does a generated image show the scene of its query?

A judge that was trained on rendered images classifies the shape and the colour. Each generated image is also
embedded again: R@1 is the share of images whose most similar source, among 64, shows the scene of the query.
As a control, each image is judged by the attributes of another scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.applications.tiny_decoder import DECODER_PATH, POSE_DIM, TinyDecoder, shrink
from imagebind.embedder import Embedder
from imagebind.evaluation.judge import JUDGED_ATTRIBUTES, labels_of, trained_judge
from imagebind.evaluation.result import Figure
from imagebind.evaluation.toyworld import EMBED_BATCH, embed_pixels, embed_scenes, embed_texts
from imagebind.metrics import cosines, retrieval_recalls
from imagebind.modality import MediaKind, ModalityType
from imagebind.toyworld.captions import CaptionStyle
from imagebind.toyworld.files import captions_of
from imagebind.toyworld.rendered import Rendered
from imagebind.toyworld.scene import ATTRIBUTES

SOURCES = 64  # candidates of R@1
CAPTION_STYLE = CaptionStyle(shape=1.0, colour=1.0)  # the judged attributes are always named
Across = Literal["memory", "nearest", "none", "shift"]

# By media type of the query, the attributes that are judged. Those that it does not show, such as colour for
# audio, are controls.
QUERY_ATTRIBUTES: Mapping[MediaKind, tuple[str, ...]] = MappingProxyType(
    {
        MediaKind.IMAGE: ("shape", "colour"),
        MediaKind.VIDEO: ("shape", "colour"),
        MediaKind.TEXT: ("shape", "colour"),
        MediaKind.AUDIO: ("shape", "colour"),
        MediaKind.DEPTH: ("shape", "colour"),
        MediaKind.THERMAL: ("shape", "colour"),
        MediaKind.IMU: ("shape",),
    }
)


@dataclass(frozen=True, eq=False)
class GenerationScenes:
    """Held-out scenes, whose embeddings the small decoder turns into images.

    Args:
        rendered: the scenes.
        folder: the folder of the trained judge.
        across: how embeddings are mapped to image embeddings. "memory", the decoder's default, takes a
            weighted mean of the entries of its memory; "nearest" takes the most similar entry; "none"
            changes nothing; "shift" adds the difference of the mean embeddings of these scenes.
        decoder: the file of the decoder.
    """

    rendered: Rendered
    folder: Path
    across: Across = "memory"
    decoder: Path = DECODER_PATH

    def __post_init__(self) -> None:
        if self.across not in get_args(Across):
            raise ValueError(f"across: expected one of {', '.join(get_args(Across))}, got {self.across!r}")

    def measure(self, embedder: Embedder) -> dict[str, object]:
        """Return the figures, in percent, and the number of scenes.

        Raises:
            SpaceMismatchError: the decoder is not for the embedder's model.
            CheckpointError: the decoder cannot be loaded.
        """
        decoder = TinyDecoder.load(self.decoder)
        decoder.check(embedder)
        judge = trained_judge(self.folder)
        count = len(self.rendered)
        labels = labels_of(self.rendered.world, count)
        others = {name: classes.roll(1) for name, classes in labels.items()}  # labels of another scene
        images = torch.from_numpy(np.array(self.rendered.arrays[MediaKind.IMAGE]))
        sources = torch.cat([shrink(batch) for batch in images.split(EMBED_BATCH)]).float() / 255
        figures = _judged("judge", judge.accuracies(sources, labels), JUDGED_ATTRIBUTES)
        embedded = {kind: self._embedded(embedder, kind) for kind in QUERY_ATTRIBUTES}
        for kind, attributes in QUERY_ATTRIBUTES.items():
            vectors = image_embeddings(decoder, embedded[kind], embedded[MediaKind.IMAGE], self.across)
            images = decoder.network(vectors, torch.zeros(count, POSE_DIM))
            figures |= _judged(str(kind), judge.accuracies(images, labels), attributes)
            figures |= _judged(f"{kind}_shuffled", judge.accuracies(images, others), attributes)
            recall = recall_of_sources(embed_again(embedder, images), embedded[MediaKind.IMAGE])
            figures[f"{kind}_r1"] = Figure(value=100 * recall, chance=100 / min(SOURCES, count))
        return {"figures": figures, "samples": count}

    def _embedded(self, embedder: Embedder, kind: MediaKind) -> Tensor:
        """Return the unit embeddings of all scenes; for text, those of their captions: (n, e)."""
        if kind is not MediaKind.TEXT:
            return embed_scenes(embedder.model, self.rendered, kind)
        scenes = map(self.rendered.scene, range(len(self.rendered)))
        return embed_texts(
            embedder.model, [captions_of(scene, style=CAPTION_STYLE)["image"] for scene in scenes]
        )


def image_embeddings(decoder: TinyDecoder, embeddings: Tensor, images: Tensor, across: Across) -> Tensor:
    """Return embeddings of a media type mapped to image embeddings: (n, e) -> (n, e).

    Args:
        images: image embeddings, whose mean "shift" uses.
        across: see `GenerationScenes`.
    """
    if across == "none":
        return embeddings
    if across == "shift":
        return F.normalize(embeddings - embeddings.mean(dim=0) + images.mean(dim=0), dim=-1)
    if across == "nearest":
        return decoder.memory[cosines(embeddings, decoder.memory).argmax(dim=1)]
    return decoder.to_image_space(embeddings)


@torch.no_grad()
def embed_again(embedder: Embedder, images: Tensor) -> Tensor:
    """Return the embeddings of generated images: (n, 3, 64, 64) from 0 to 1 -> (n, e), unit length."""
    size = embedder.model.config.trunk(ModalityType.VISION).image_size  # type: ignore[union-attr]
    rows = []
    for batch in images.split(EMBED_BATCH):
        pixels = F.interpolate(batch, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1) * 255
        rows.append(embed_pixels(embedder, pixels))
    return torch.cat(rows)


def recall_of_sources(generated: Tensor, sources: Tensor) -> float:
    """Return the mean recall at 1 over groups of 64 scenes, from 0 to 1: (n, e), (n, e).

    Scenes after the last whole group are left out; fewer than 64 scenes are one group.
    """
    used = len(sources) // SOURCES * SOURCES or len(sources)
    groups = zip(generated[:used].split(SOURCES), sources[:used].split(SOURCES), strict=True)
    recalls = [retrieval_recalls(cosines(*group), ks=(1,))[1] for group in groups]
    return sum(recalls) / len(recalls)


def _judged(prefix: str, shares: Mapping[str, float], attributes: tuple[str, ...]) -> dict[str, Figure]:
    return {
        f"{prefix}_{name}": Figure(value=100 * shares[name], chance=100 / len(ATTRIBUTES[name]))
        for name in attributes
    }
