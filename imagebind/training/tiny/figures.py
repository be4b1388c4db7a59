"""What a model knows of the world: classification by words, and finding a scene by another of its senses.

None of the senses but vision is ever trained with text, or with each other: what they are found to know here
has come by way of vision. Scored on combinations never trained on; a sense is also asked what it cannot show,
where nothing but chance is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.metrics import retrieval_recalls
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.toyworld.captions import class_prompts
from imagebind.toyworld.files import captions_of
from imagebind.toyworld.rendered import STORED, Rendered
from imagebind.toyworld.scene import ATTRIBUTES, SHOWS
from imagebind.training.evaluate import cosines
from imagebind.transforms.text import Tokenizer

BATCH = 64
CANDIDATES = 256  # scenes among which one is to be found
RANKS = (1, 10)

# By sense, the attributes that are asked of it; of what `SHOWS` does not list it can know nothing.
ASKED: Mapping[MediaKind, tuple[str, ...]] = MappingProxyType(
    {
        MediaKind.IMAGE: ("shape", "colour", "temperature", "material", "ground", "motion"),
        MediaKind.VIDEO: ("shape", "colour", "motion", "temperature"),
        MediaKind.AUDIO: ("shape", "motion", "material", "colour"),
        MediaKind.DEPTH: ("shape", "size", "colour"),
        MediaKind.THERMAL: ("shape", "temperature", "colour"),
        MediaKind.IMU: ("motion", "shape"),
    }
)
FOUND: tuple[tuple[MediaKind, MediaKind], ...] = (  # query, candidates
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
    """What a share of scenes whose attribute is named rightly is called: "audio_shape"."""
    return f"{kind}_{attribute}"


def retrieval_name(query: MediaKind, candidates: MediaKind, k: int) -> str:
    """What a recall is called: "audio_to_depth_r10"."""
    return f"{query}_to_{candidates}_r{k}"


def chance_of(name: str) -> float:
    """The share that guessing gets right of a figure."""
    ending = name.rpartition("_")[2]
    if ending in ATTRIBUTES:
        return 1 / len(ATTRIBUTES[ending])
    return int(ending.removeprefix("r")) / CANDIDATES


def can_be_known(kind: MediaKind, attribute: str) -> bool:
    """Whether a sense shows an attribute at all."""
    return attribute in SHOWS[kind]


@dataclass(frozen=True, eq=False)
class WorldFigures:
    """For `Recipe.evaluations`: all figures of the senses that the model has, shares from 0 to 1.

    Without text nothing is classified, for that is done by words.
    """

    rendered: Rendered

    @torch.no_grad()
    def __call__(self, model: ImageBindModel) -> dict[str, float]:
        embedded = {
            kind: embed_sense(model, self.rendered, kind)
            for kind in STORED
            if kind.modality.value in model.modalities
        }
        has_text = ModalityType.TEXT.value in model.modalities
        known = {*embedded, MediaKind.TEXT} if has_text else {*embedded}
        figures = {
            classification_name(kind, attribute): self._classified(model, embedded[kind], attribute)
            for kind, attributes in ASKED.items()
            if kind in embedded and has_text
            for attribute in attributes
        }
        for query, candidates in FOUND:
            if {query, candidates} <= known:
                similarity = cosines(
                    self._some(model, embedded, query, candidates),
                    self._some(model, embedded, candidates, query),
                )
                for k, share in retrieval_recalls(similarity, ks=RANKS).items():
                    figures[retrieval_name(query, candidates, k)] = share
        return figures

    def _classified(self, model: ImageBindModel, embeddings: Tensor, attribute: str) -> float:
        prompts = class_prompts(attribute)
        classes = torch.stack(
            [F.normalize(embed_texts(model, each).mean(dim=0), dim=-1) for each in prompts.values()]
        )  # (c, e)
        names = list(prompts)
        right = [names.index(self.rendered.scene(i).attributes[attribute]) for i in range(len(self.rendered))]
        return cosines(embeddings, classes).argmax(dim=1).eq(torch.tensor(right)).float().mean().item()

    def _some(
        self, model: ImageBindModel, embedded: Mapping[MediaKind, Tensor], kind: MediaKind, other: MediaKind
    ) -> Tensor:
        """A side of a retrieval, unit length: (256, e). Words are of the still where the other is one."""
        count = min(CANDIDATES, len(self.rendered))
        if kind is not MediaKind.TEXT:
            return embedded[kind][:count]
        still = other in (MediaKind.IMAGE, MediaKind.DEPTH, MediaKind.THERMAL)
        said = "image" if still else "video"
        return embed_texts(model, [captions_of(self.rendered.scene(i))[said] for i in range(count)])


@torch.no_grad()
def embed_sense(model: ImageBindModel, rendered: Rendered, kind: MediaKind) -> Tensor:
    """Every scene by one of its senses, unit length, float32 on the CPU: (n, e)."""
    device = next(model.parameters()).device
    rows = []
    for start in range(0, len(rendered), BATCH):
        numbers = range(start, min(start + BATCH, len(rendered)))
        batch = torch.stack([rendered.tensor(kind, number) for number in numbers])
        rows.append(F.normalize(model.embed(kind.modality.value, batch.to(device)).float(), dim=-1).cpu())
    return torch.cat(rows)


@torch.no_grad()
def embed_texts(model: ImageBindModel, texts: "list[str] | tuple[str, ...]") -> Tensor:
    """Texts, unit length, float32 on the CPU: (n, e)."""
    device = next(model.parameters()).device
    embeddings = model.embed(ModalityType.TEXT.value, Tokenizer()(list(texts)).to(device))
    return F.normalize(embeddings.float(), dim=-1).cpu()
