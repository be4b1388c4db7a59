"""The fingerprint of a space: vectors of different ones have nothing to say to each other.

An index carries the fingerprint of the space that its vectors are in. What is added to it or asked of it from
another model, other weights, or through other transforms, is refused, with both named.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch

from imagebind import config as configs
from imagebind.checkpoints.formats import modality_of
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.transforms.options import item_options

TRANSFORMS_VERSION = 1  # to be raised when a transform's numbers change for the same settings
NAMED = {"imagebind_huge": configs.huge_config, "imagebind_tiny": configs.tiny_config}
SAMPLED = 256  # numbers of each tensor that go into a digest: reading 4.8 GB would take longer than a search
DIGEST_BYTES = 8


class SpaceMismatchError(ImageBindError):
    """Vectors of one space for an index of another; the message names both."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where vectors come from.

    Args:
        model: the name of its sizes, or "custom".
        embed_dim: how long a vector is.
        weights: a digest by modality, over every tensor's name, shape and evenly taken numbers.
        transforms: settings by kind of media, as text; of text it is the tokenizer's.
    """

    model: str
    embed_dim: int
    weights: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, embedder: Embedder, *, kinds: Iterable[MediaKind] | None = None) -> "Space":
        """The space of an embedder, as far as its model was built.

        Args:
            kinds: those whose transforms are to be named, by default all. A transform is imported for that.
        """
        model = embedder.model
        asked = MediaKind if kinds is None else kinds
        wanted = [kind for kind in asked if kind.modality.value in model.modalities]
        return cls(
            model=_name_of(model),
            embed_dim=embedder.embed_dim,
            weights=_digests(model),
            transforms={kind.value: _settings(embedder.transform(kind)) for kind in wanted},
        )

    def check(self, other: "Space", *, what: str) -> None:
        """Refuse another space. Modalities and kinds that only one of them has are not compared.

        Args:
            what: whose space this is, for the message.

        Raises:
            SpaceMismatchError: names both, and what differs.
        """
        found = []
        if self.embed_dim != other.embed_dim:
            found.append(f"vectors of {self.embed_dim} numbers against {other.embed_dim}")
        for name, mine, theirs in (
            ("weights of", self.weights, other.weights),
            ("transform of", self.transforms, other.transforms),
        ):
            found += [
                f"{name} {key}: {mine[key]} against {theirs[key]}"
                for key in mine
                if key in theirs and mine[key] != theirs[key]
            ]
        if found:
            raise SpaceMismatchError(
                f"{what}: its vectors are of {self}, these of {other} ({'; '.join(found)}); "
                "use the same model, weights and transforms, or another index"
            )

    def joined(self, other: "Space") -> "Space":
        """Both, where each knows modalities that the other does not."""
        return replace(
            self,
            weights={**other.weights, **self.weights},
            transforms={**other.transforms, **self.transforms},
        )

    def to_json(self) -> str:
        """As an index stores it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Space":
        """What `to_json` wrote.

        Raises:
            ValueError, TypeError: it is none.
        """
        return cls(**json.loads(text))

    def __str__(self) -> str:
        digest = hashlib.blake2b(self.to_json().encode(), digest_size=4).hexdigest()
        return f"{self.model} {digest}"


def _name_of(model: ImageBindModel) -> str:
    if not {*model.modalities} <= {*map(str, ModalityType)}:  # a subclass with one of its own
        return "custom"
    for name, config_of in NAMED.items():
        named = config_of()
        if model.config.embed_dim == named.embed_dim and all(
            model.config.trunk(ModalityType(modality)) == named.trunk(ModalityType(modality))
            for modality in model.modalities
        ):
            return name
    return "custom"


def _digests(model: ImageBindModel) -> dict[str, str]:
    hashes = {modality: hashlib.blake2b(digest_size=DIGEST_BYTES) for modality in model.modalities}
    for name, tensor in sorted(model.state_dict().items()):
        digest = hashes.get(modality_of(name) or "")
        if digest is None:  # a subclass's own, such as a head for classes
            continue
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        numbers = tensor.detach().flatten()
        taken = numbers[:: max(len(numbers) // SAMPLED, 1)]
        # Rounded as bfloat16 holds them: its vectors and those of float32 are of one space.
        digest.update(taken.to("cpu", torch.bfloat16).float().numpy().tobytes())
    return {modality: digest.hexdigest() for modality, digest in hashes.items()}


def _settings(transform: object) -> str:
    """A transform in words, as far as it decides what space its tensors lead to.

    How much of an item is taken, how it is read and what its sensor was are matters of the item.
    """
    base: Any = getattr(transform, "base", transform)  # one that cuts windows names the one that it cuts for
    if not is_dataclass(base):
        return f"v{TRANSFORMS_VERSION} {type(base).__qualname__}"
    per_item = item_options(base)
    settings = ", ".join(
        f"{each.name}={getattr(base, each.name)!r}" for each in fields(base) if each.name not in per_item
    )
    return f"v{TRANSFORMS_VERSION} {type(base).__name__}({settings})"
