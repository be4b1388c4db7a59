"""Packs: folders with a modality that a user bound to a model's space, for `Embedder(..., packs=[folder])`.

A pack has the weights of the modality's modules, their sizes, the transform's name and settings, and the
fingerprint of the embedding space. Its files are `config.json`, `<modality>.safetensors` and the index of the
safetensors files. Loading a pack runs no code from the folder: the transform is one of
`imagebind.transforms`, or one that the caller passes.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from imagebind import transforms
from imagebind.checkpoints.formats import CONFIG_NAME, modality_of, write_folder
from imagebind.checkpoints.loading import load_into, resolve
from imagebind.checkpoints.tensors import read_json
from imagebind.config import (
    AudioConfig,
    ImuConfig,
    MultiChannelConfig,
    OneChannelConfig,
    check_size,
    check_trunk,
)
from imagebind.errors import CheckpointError
from imagebind.intake.requests import Transform
from imagebind.io.local_copy import home_path
from imagebind.io.uri import is_uri
from imagebind.modality import BoundModality, ModalityType
from imagebind.models.bound import BoundConfig, bound_modality, modules_of, with_modality
from imagebind.models.model import ImageBindModel
from imagebind.space import Space, SpaceMismatchError
from imagebind.transforms.options import item_options

PACK_TYPE = "imagebind_pack"
PACK_VERSION = 1
PACK_TRUNK_CONFIGS: Mapping[str, type[BoundConfig]] = {  # by the name in `config.json`
    cls.__name__: cls for cls in (OneChannelConfig, MultiChannelConfig, AudioConfig, ImuConfig)
}
PACK_WAY_OUT = "use the model that the pack was trained with"


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The content of a pack's `config.json`; the weights are read by `add_to`.

    Args:
        folder: the folder of the pack.
        modality: the name of its modality.
        sizes: the config of its trunk.
        space: the fingerprint of its embedding space.
        transform: the class name of its transform.
        settings: the arguments of this class.
    """

    folder: Path
    modality: BoundModality
    sizes: BoundConfig
    space: Space
    transform: str
    settings: Mapping[str, Any]

    def add_to(self, model: ImageBindModel) -> ImageBindModel:
        """Return a model with the pack's modality; it shares all other modules with `model`.

        The new modules have the precision and device of the model.

        Raises:
            SpaceMismatchError: the model has another space than the pack, or no modality in common with it.
            CheckpointError: the weights cannot be read or do not fit the sizes, or the model already has a
                modality of this name.
        """
        self._check_space(model)
        parameter = next(model.parameters())
        try:
            extended = with_modality(model, self.modality, self.sizes, device="meta")
        except (ValueError, RuntimeError, ArithmeticError) as error:
            raise CheckpointError(f"{self.folder}: cannot be added ({error!s:.300})") from error
        load_into(
            extended, self.folder, modalities=[self.modality], dtype=parameter.dtype, device=parameter.device
        )
        for module in modules_of(extended, self.modality):
            module.eval()
        return extended

    def make_transform(self, given: type[Transform] | Transform | None = None) -> Transform:
        """Return the transform of the pack.

        Args:
            given: a transform, which is returned unchanged, or its class, which is called with the pack's
                settings. By default, the class in `imagebind.transforms` that the pack names.

        Raises:
            CheckpointError: no transform is given and `imagebind.transforms` has none of this name, or the
                class does not accept the settings.
        """
        if given is not None and not isinstance(given, type):
            return given
        if given is None and self.transform not in transforms.__all__:
            raise CheckpointError(
                f"{self.folder}: its transform {self.transform} is not in imagebind.transforms; pass it: "
                f"transforms={{'{self.modality}': {self.transform}}}"
            )
        cls: Any = getattr(transforms, self.transform) if given is None else given
        try:
            return cls(**self.settings)
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder}: {cls.__name__} does not accept the settings {dict(self.settings)!s:.200} "
                f"({error!s:.200})"
            ) from error

    def _check_space(self, model: ImageBindModel) -> None:
        space = Space.of_model(model)
        self.space.check(space, owner=str(self.folder), way_out=PACK_WAY_OUT)
        if not {*self.space.weights} & {*space.weights}:
            raise SpaceMismatchError(
                f"{self.folder}: expected a model with {' or '.join(self.space.weights)}, by which the "
                f"space is compared, got one with {', '.join(space.weights)}"
            )


def save_pack(
    model: ImageBindModel,
    modality: str,
    folder: str | os.PathLike[str],
    *,
    sizes: BoundConfig,
    transform: Transform,
) -> Path:
    """Write a modality of a model as a pack, and return its folder. Either all files are written or none.

    Args:
        model: a trained model that `with_modality` returned; its other modalities define the space.
        sizes: the config that was passed to `with_modality`.
        transform: one of `imagebind.transforms`, or a dataclass of your own, which users of the pack must
            have, too.

    Raises:
        ValueError: the name is invalid, the model lacks the modality or has none of the library's, the
            weights do not fit the sizes, or a setting of the transform cannot be stored as JSON.
        CheckpointError: the folder cannot be written.
    """
    name, folder = bound_modality(modality), Path(folder)
    if name not in model.modalities:
        raise ValueError(f"modality: expected one of {', '.join(model.modalities)}, got {name!r}")
    entries = {key: value for key, value in model.state_dict().items() if modality_of(key) == name}
    space = Space.of_model(model, bound=[name])
    weights = {key: digest for key, digest in space.weights.items() if key in {*map(str, ModalityType)}}
    if not weights:
        raise ValueError("model: expected vision or another modality that the new one is bound to, got none")
    _check_shapes(model, name, sizes)
    description = {
        "model_type": PACK_TYPE,
        "version": PACK_VERSION,
        "modality": name,
        "embed_dim": model.config.embed_dim,
        "trunk": type(sizes).__name__,
        "sizes": asdict(sizes),
        "transform": type(transform).__name__,
        "settings": _settings_of(transform),
        "space": {"model": space.model, "weights": weights},
    }
    write_folder([(name, entries)], folder, config=description)
    return folder


def read_pack(folder: str | os.PathLike[str]) -> Pack:
    """Return the description of the pack in a folder, which may be a URI; the weights are not read.

    Raises:
        CheckpointError: the folder cannot be found, or has no valid description of a pack.
    """
    path = _pack_folder(folder)
    content = read_json(path / CONFIG_NAME)
    try:
        if content["model_type"] != PACK_TYPE or content["version"] != PACK_VERSION:
            raise ValueError(f"{content['model_type']!r}, version {content['version']!r}")
        if content["trunk"] not in PACK_TRUNK_CONFIGS:
            names = ", ".join(PACK_TRUNK_CONFIGS)
            raise ValueError(f"trunk: expected one of {names}, got {content['trunk']!r:.80}")
        if not isinstance(content["sizes"], Mapping):
            raise TypeError(f"sizes: expected sizes by name, got {content['sizes']!r:.80}")
        trunk = PACK_TRUNK_CONFIGS[content["trunk"]](**content["sizes"])
        check_trunk("sizes", trunk)
        check_size("embed_dim", content["embed_dim"], int)
        return Pack(
            folder=path,
            modality=bound_modality(content["modality"]),
            sizes=trunk,
            space=_space_of(content["space"], embed_dim=content["embed_dim"]),
            transform=_text(content["transform"]),
            settings={_text(key): _from_json(value) for key, value in content["settings"].items()},
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path / CONFIG_NAME}: expected the description of a pack, as save_pack writes it, got a "
            f"file that cannot be read ({error!r:.400})"
        ) from error


def _pack_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the local folder of a pack.

    Raises:
        CheckpointError: it does not exist, or has no description.
    """
    path = home_path(folder)
    if not is_uri(os.fspath(folder)):
        expected = f"{os.fspath(folder)}: expected the folder of a pack, as save_pack writes it"
        if not path.is_dir():
            raise CheckpointError(f"{expected}, got {'a file' if path.exists() else 'no such folder'}")
        if not (path / CONFIG_NAME).exists():
            raise CheckpointError(f"{expected}, got one without {CONFIG_NAME}")
    return resolve(folder)


def _check_shapes(model: ImageBindModel, name: BoundModality, sizes: BoundConfig) -> None:
    """Check that the tensors have the names and shapes that the sizes give, so that they can be loaded."""
    plain = ImageBindModel(model.config, modalities=model.config.modalities[:1], device="meta")
    expected = with_modality(plain, name, sizes, device="meta").state_dict()
    shapes = [
        {key: tuple(value.shape) for key, value in entries.items() if modality_of(key) == name}
        for entries in (model.state_dict(), expected)
    ]
    different = [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]
    if different:
        key = different[0]
        raise ValueError(
            f"sizes: {len(different)} tensors of {name} differ from a model of {sizes}, such as {key}: "
            f"expected {shapes[1].get(key)}, got {shapes[0].get(key)}"
        )


def _settings_of(transform: Any) -> dict[str, Any]:
    """Return the settings of a dataclass as JSON values.

    Options for single items, and settings that cannot be stored, are left out if they have their default.

    Raises:
        ValueError: a setting is not a number, text, boolean, None or a tuple of these.
    """
    if not is_dataclass(transform):
        return {}
    per_item = item_options(transform)
    settings = {}
    for each in fields(transform):
        value = getattr(transform, each.name)
        is_default = each.default is not MISSING and value == each.default
        if not each.init or (is_default and (each.name in per_item or not _is_plain(value))):
            continue
        if not _is_plain(value):
            raise ValueError(
                f"{type(transform).__name__}.{each.name}: expected numbers, texts or tuples of them, "
                f"got {value!r:.80}"
            )
        settings[each.name] = value
    return settings


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _from_json(value: Any) -> Any:
    """Return a setting with lists converted to tuples.

    Raises:
        ValueError: the setting is or contains a mapping.
    """
    if isinstance(value, list):
        return tuple(map(_from_json, value))
    if not _is_plain(value):
        raise ValueError(f"settings: expected numbers, texts or lists of them, got {value!r:.80}")
    return value


def _space_of(content: Mapping[str, Any], *, embed_dim: int) -> Space:
    weights = {_text(key): _text(digest) for key, digest in content["weights"].items()}
    if not weights:
        raise ValueError("space: expected the weights of one modality or more, got none")
    return Space(model=_text(content["model"]), embed_dim=embed_dim, weights=weights)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.80}")
    return value
