"""The fingerprint of an embedding space. Vectors from different spaces cannot be compared.

An index stores the fingerprint of its vectors' space. Adding to it or searching it with another model, other
weights or other transforms raises an error that names both spaces.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, cast

import torch

from imagebind import config as configs
from imagebind.checkpoints.formats import modality_of
from imagebind.errors import ImageBindError
from imagebind.modality import BoundModality, MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.transforms.options import item_options

TRANSFORMS_VERSION = 1  # increase it when a transform gives other values for the same settings
NAMED_MODELS = {"imagebind_huge": configs.huge_config, "imagebind_tiny": configs.tiny_config}
VALUES_PER_TENSOR = 256  # at least, of larger tensors; reading all 4.8 GB would take longer than a search
DIGEST_BYTES = 8
INDEX_WAY_OUT = "use the same model, weights and transforms, or another index"


class SpaceMismatchError(ImageBindError):
    """Two embedding spaces differ, such as those of an index and a model; the message names both."""


class HasSpace(Protocol):
    """A model with the transforms of its inputs, such as an `Embedder`."""

    model: ImageBindModel

    @property
    def bound(self) -> Sequence[BoundModality]:
        """The modalities of packs."""

    def transform(self, kind: MediaKind) -> Any:
        """Return the transform of a media type."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """An embedding space: the model, weights and transforms that compute its vectors.

    Args:
        model: the name of its sizes, or "custom".
        embed_dim: the number of values of a vector.
        weights: a digest per modality of each tensor's name, shape and evenly spaced values.
        transforms: settings per media type, as text; for text, those of the tokenizer.
    """

    model: str
    embed_dim: int
    weights: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, embedder: HasSpace, *, kinds: Iterable[MediaKind] | None = None) -> "Space":
        """Return the space of an embedder, for the modalities of its model.

        Args:
            kinds: media types whose transforms are included (and imported), by default all.
        """
        model = embedder.model
        requested: Iterable[MediaKind | BoundModality]
        requested = [*MediaKind, *embedder.bound] if kinds is None else kinds
        included = [kind for kind in requested if kind.modality.value in model.modalities]
        settings = {
            kind.value: _transform_settings(embedder.transform(cast(MediaKind, kind))) for kind in included
        }
        return replace(cls.of_model(model, bound=embedder.bound), transforms=settings)

    @classmethod
    def of_model(cls, model: ImageBindModel, *, bound: Iterable[str] = ()) -> "Space":
        """Return the space of a model, without transforms.

        Args:
            bound: the modalities of packs; they do not change the model's name.
        """
        return cls(
            model=_model_name(model, bound), embed_dim=model.config.embed_dim, weights=_weight_digests(model)
        )

    def check(self, other: "Space", *, owner: str, way_out: str = INDEX_WAY_OUT) -> None:
        """Check that another space is equal, in the modalities and media types that both have.

        Args:
            owner: the index, output or pack of this space, for the message.
            way_out: advice at the end of the message.

        Raises:
            SpaceMismatchError: the spaces differ; the message has both and the differences.
        """
        differences = []
        if self.embed_dim != other.embed_dim:
            differences.append(f"vectors of {self.embed_dim} numbers against {other.embed_dim}")
        for name, mine, theirs in (
            ("weights of", self.weights, other.weights),
            ("transform of", self.transforms, other.transforms),
        ):
            differences += [
                f"{name} {key}: {mine[key]} against {theirs[key]}"
                for key in mine
                if key in theirs and mine[key] != theirs[key]
            ]
        if differences:
            raise SpaceMismatchError(
                f"{owner}: expected vectors of space {self}, got {other} ({'; '.join(differences)}); "
                f"{way_out}"
            )

    def without(self, modalities: Iterable[str]) -> "Space":
        """Return the space without the weights of some modalities."""
        left_out = {*modalities}
        return replace(self, weights={key: each for key, each in self.weights.items() if key not in left_out})

    def joined(self, other: "Space") -> "Space":
        """Return the union of the modalities and media types of both spaces."""
        return replace(
            self,
            weights={**other.weights, **self.weights},
            transforms={**other.transforms, **self.transforms},
        )

    def to_json(self) -> str:
        """Return the space as JSON, for an index."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Space":
        """Return the space of a text from `to_json`.

        Raises:
            ValueError, TypeError: the text is not the JSON of a space.
        """
        return cls(**json.loads(text))

    def __str__(self) -> str:
        digest = hashlib.blake2b(self.to_json().encode(), digest_size=4).hexdigest()
        return f"{self.model} {digest}"


def _model_name(model: ImageBindModel, bound: Iterable[str]) -> str:
    modalities = {*model.modalities} - {*bound}
    if not modalities <= {*map(str, ModalityType)}:  # a subclass added one
        return "custom"
    for name, config_of in NAMED_MODELS.items():
        named = config_of()
        if model.config.embed_dim == named.embed_dim and all(
            model.config.trunk(ModalityType(modality)) == named.trunk(ModalityType(modality))
            for modality in modalities
        ):
            return name
    return "custom"


def _weight_digests(model: ImageBindModel) -> dict[str, str]:
    hashes = {modality: hashlib.blake2b(digest_size=DIGEST_BYTES) for modality in model.modalities}
    # A subclass may have tensors of no modality, such as those of a classification head.
    state = sorted(model.state_dict().items())
    tensors = [(name, tensor) for name, tensor in state if (modality_of(name) or "") in hashes]
    samples = [_sample(tensor) for _, tensor in tensors]
    joined = torch.cat([each.to(samples[0].device) for each in samples]).cpu().float()
    for (name, tensor), sample in zip(tensors, joined.split([len(each) for each in samples]), strict=True):
        digest = hashes[modality_of(name) or ""]
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return {modality: digest.hexdigest() for modality, digest in hashes.items()}


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    """Return evenly spaced values of a tensor: (n,).

    Rounded to bfloat16, so that a bfloat16 copy of a float32 model has the same space.
    """
    values = tensor.detach().flatten()
    return values[:: max(len(values) // VALUES_PER_TENSOR, 1)].bfloat16()


def _transform_settings(transform: object) -> str:
    """Return a transform's settings as text, without those that belong to the item.

    The latter are the part of an item that is read, how it is read, and its sensor.
    """
    base: Any = getattr(transform, "base", transform)  # a windowing transform has the original one as `base`
    if not is_dataclass(base):
        return f"v{TRANSFORMS_VERSION} {type(base).__qualname__}"
    per_item = item_options(base)
    settings = ", ".join(
        f"{each.name}={getattr(base, each.name)!r}" for each in fields(base) if each.name not in per_item
    )
    return f"v{TRANSFORMS_VERSION} {type(base).__name__}({settings})"
