"""Evaluates a model on the toy world: zero-shot classification, and retrieval between modalities.

Only vision is trained with text, and audio, depth, thermal and IMU are never trained with each other: their
accuracy comes from alignment through vision. The scenes have attribute combinations that are not in the
training set. Each media type but video is also classified by an attribute that it does not show: this control
must have an accuracy at the chance level.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.checkpoints.factory import TINY_FOLDER
from imagebind.embedder import Embedder
from imagebind.metrics import cosines, retrieval_recalls
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.toyworld.captions import class_prompts
from imagebind.toyworld.files import captions_of
from imagebind.toyworld.rendered import PIXEL_OFFSET, PIXEL_SCALE, STORED, Rendered, render_world
from imagebind.toyworld.scene import ATTRIBUTES, SHOWN_ATTRIBUTES
from imagebind.transforms.text import Tokenizer

EMBED_BATCH = 64
HELD_OUT_SCENES, HELD_OUT_SEED = 1_024, 1  # the held-out scenes that evaluate the small model
CARD_ROW = re.compile(r"^\| (\w+) \| ([\d.]+) \| [\d.]+ \|$", re.MULTILINE)  # figure, measured, chance
NUM_CANDIDATES = 256  # scenes per retrieval
RECALL_KS = (1, 10)

# By media type, the attributes to classify. Those not in `SHOWN_ATTRIBUTES` are controls.
CLASSIFIED_ATTRIBUTES: Mapping[MediaKind, tuple[str, ...]] = MappingProxyType(
    {
        MediaKind.IMAGE: ("shape", "colour", "temperature", "material", "ground", "motion"),
        MediaKind.VIDEO: ("shape", "colour", "motion", "temperature"),
        MediaKind.AUDIO: ("shape", "motion", "material", "colour"),
        MediaKind.DEPTH: ("shape", "size", "colour"),
        MediaKind.THERMAL: ("shape", "temperature", "colour"),
        MediaKind.IMU: ("motion", "shape"),
    }
)
RETRIEVALS: tuple[tuple[MediaKind, MediaKind], ...] = (  # query, candidates
    (MediaKind.VIDEO, MediaKind.TEXT),
    (MediaKind.TEXT, MediaKind.VIDEO),
    (MediaKind.AUDIO, MediaKind.VIDEO),
    (MediaKind.DEPTH, MediaKind.IMAGE),
    (MediaKind.THERMAL, MediaKind.IMAGE),
    (MediaKind.IMU, MediaKind.VIDEO),
    (MediaKind.AUDIO, MediaKind.TEXT),
    (MediaKind.DEPTH, MediaKind.TEXT),
    (MediaKind.THERMAL, MediaKind.TEXT),
    (MediaKind.IMU, MediaKind.TEXT),
    (MediaKind.AUDIO, MediaKind.DEPTH),
    (MediaKind.DEPTH, MediaKind.AUDIO),
    (MediaKind.AUDIO, MediaKind.IMU),
    (MediaKind.IMU, MediaKind.AUDIO),
    (MediaKind.DEPTH, MediaKind.THERMAL),
    (MediaKind.AUDIO, MediaKind.THERMAL),
)


def classification_name(kind: MediaKind, attribute: str) -> str:
    """Return the name of a classification accuracy: "audio_shape"."""
    return f"{kind}_{attribute}"


def retrieval_name(query: MediaKind, candidates: MediaKind, k: int) -> str:
    """Return the name of a recall: "audio_to_depth_r10"."""
    return f"{query}_to_{candidates}_r{k}"


def chance_of(name: str, scenes: int) -> float:
    """Return the chance level of a figure on this number of scenes, from 0 to 1."""
    ending = name.rpartition("_")[2]
    if ending in ATTRIBUTES:
        return 1 / len(ATTRIBUTES[ending])
    return min(int(ending.removeprefix("r")) / min(scenes, NUM_CANDIDATES), 1.0)


def is_shown_by(kind: MediaKind, attribute: str) -> bool:
    """Whether a media type shows an attribute at all."""
    return attribute in SHOWN_ATTRIBUTES[kind]


@dataclass(frozen=True, eq=False)
class WorldFigures:
    """Computes all figures of a model's modalities, from 0 to 1; can be an item of `Recipe.evaluations`.

    A model without text has no classification figures, because class names are embedded as text.
    """

    rendered: Rendered

    @torch.no_grad()
    def __call__(self, model: ImageBindModel) -> dict[str, float]:
        embedded = {
            kind: embed_scenes(model, self.rendered, kind)
            for kind in STORED
            if kind.modality.value in model.modalities
        }
        has_text = ModalityType.TEXT.value in model.modalities
        available = {*embedded, MediaKind.TEXT} if has_text else {*embedded}
        figures = {
            classification_name(kind, attribute): self._accuracy(model, embedded[kind], attribute)
            for kind, attributes in CLASSIFIED_ATTRIBUTES.items()
            if kind in embedded and has_text
            for attribute in attributes
        }
        for query, candidates in RETRIEVALS:
            if {query, candidates} <= available:
                similarity = cosines(
                    self._retrieval_side(model, embedded, query, candidates),
                    self._retrieval_side(model, embedded, candidates, query),
                )
                for k, share in retrieval_recalls(similarity, ks=RECALL_KS).items():
                    figures[retrieval_name(query, candidates, k)] = share
        return figures

    def _accuracy(self, model: ImageBindModel, embeddings: Tensor, attribute: str) -> float:
        prompts = class_prompts(attribute)
        classes = torch.stack(
            [F.normalize(embed_texts(model, each).mean(dim=0), dim=-1) for each in prompts.values()]
        )  # (c, e)
        names = list(prompts)
        scenes = map(self.rendered.scene, range(len(self.rendered)))
        labels = torch.tensor([names.index(scene.attributes[attribute]) for scene in scenes])
        return cosines(embeddings, classes).argmax(dim=1).eq(labels).float().mean().item()

    def _retrieval_side(
        self, model: ImageBindModel, embedded: Mapping[MediaKind, Tensor], kind: MediaKind, other: MediaKind
    ) -> Tensor:
        """Return the vectors of one side of a retrieval, unit length: (n, e), n at most 256.

        A text is the image's caption if the other side is image, depth or thermal, otherwise the video's.
        """
        count = min(NUM_CANDIDATES, len(self.rendered))
        if kind is not MediaKind.TEXT:
            return embedded[kind][:count]
        still = other in (MediaKind.IMAGE, MediaKind.DEPTH, MediaKind.THERMAL)
        described = "image" if still else "video"
        return embed_texts(model, [captions_of(self.rendered.scene(i))[described] for i in range(count)])


@torch.no_grad()
def embed_scenes(model: ImageBindModel, rendered: Rendered, kind: MediaKind) -> Tensor:
    """Embed every scene in one media type, unit length, float32 on the CPU: (n, e)."""
    device = next(model.parameters()).device
    rows = []
    for start in range(0, len(rendered), EMBED_BATCH):
        numbers = range(start, min(start + EMBED_BATCH, len(rendered)))
        batch = torch.stack([rendered.tensor(kind, number) for number in numbers])
        rows.append(F.normalize(model.embed(kind.modality.value, batch.to(device)).float(), dim=-1).cpu())
    return torch.cat(rows)


def embed_pixels(embedder: Embedder, images: Tensor) -> Tensor:
    """Embed images with values from 0 to 255, unit length, on the CPU: (n, 3, h, w) -> (n, e)."""
    views = images.float() * PIXEL_SCALE.view(3, 1, 1) - PIXEL_OFFSET.view(3, 1, 1)
    return F.normalize(embedder.forward(ModalityType.VISION, views).cpu(), dim=-1)


@torch.no_grad()
def embed_texts(model: ImageBindModel, texts: "list[str] | tuple[str, ...]") -> Tensor:
    """Embed texts, unit length, float32 on the CPU: (n, e)."""
    device = next(model.parameters()).device
    embeddings = model.embed(ModalityType.TEXT.value, Tokenizer()(list(texts)).to(device))
    return F.normalize(embeddings.float(), dim=-1).cpu()


def held_out_world(
    root: str | os.PathLike[str], *, scenes: int = HELD_OUT_SCENES, seed: int = HELD_OUT_SEED
) -> Rendered:
    """Return scenes with combinations of attributes that the small model was not trained on.

    They are rendered into the folder unless it has them.
    """
    return render_world(root, scenes, seed=seed, held_out=True, workers=os.cpu_count() or 1)


def card_figures() -> dict[str, float]:
    """Return the figures on the small model's card, in percent, by name."""
    card = (TINY_FOLDER / "README.md").read_text(encoding="utf-8")
    return {name: float(value) for name, value in CARD_ROW.findall(card)}
