"""Models for mteb, the Massive Text Embedding Benchmark with its image, audio and video tasks.

`imagebind_huge` and `imagebind_tiny` describe the named models, and `mteb.evaluate` loads them when it needs
them; `ImageBindEncoder` wraps any other model. Needs the extra `mteb` and Python 3.11 or later.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from imagebind import __version__
from imagebind.embedder import BATCH_SIZE, Embedder, combine
from imagebind.errors import import_extra
from imagebind.modality import MediaKind, ModalityType
from imagebind.space import Space
from imagebind.transforms.text import CONTEXT_LENGTH

mteb = import_extra("mteb", extra="mteb", purpose="evaluating with mteb")
AbsEncoder: Any = mteb.models.abs_encoder.AbsEncoder

ORGANISATION = "imagebind"  # mteb's names have two parts
MEDIA_TYPES = (MediaKind.TEXT, MediaKind.IMAGE, MediaKind.AUDIO, MediaKind.VIDEO)  # mteb uses the same names
TRUNKS = (ModalityType.VISION, ModalityType.TEXT, ModalityType.AUDIO)  # those that mteb's media types need
BYTES_PER_MB = 2**20


class ImageBindEncoder(AbsEncoder):
    """An `Embedder` as mteb's encoder."""

    def __init__(self, embedder: Embedder) -> None:
        self.model = embedder
        self.mteb_model_meta = model_meta(embedder)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Sequence[Any]]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        batch_size: int = BATCH_SIZE,
        show_progress_bar: bool = True,
    ) -> np.ndarray:
        """Embed batches of columns: {"text": [...], "audio": [...]}, … -> (n, e) of unit length.

        An item has the vector that `Embedder.encode` gives. The vector of a row with several media types is
        the normalised sum of theirs. mteb's task, split and prompt type change nothing; the model takes no
        instructions. `batch_size` counts views.

        Raises:
            MediaError: an item cannot be embedded. It is not left out, since mteb's scores would not show it.
            ValueError: a row without a media type that the model embeds.
        """
        row_of_item: list[int] = []
        vectors: dict[int, list[np.ndarray]] = defaultdict(list)
        items = self._items(inputs, row_of_item, show_progress_bar=show_progress_bar)
        with closing(self.model.encode_stream(items, batch_size=batch_size)) as stream:
            for result in stream:
                if result.error is not None:
                    raise result.error
                assert result.vector is not None
                vectors[row_of_item[result.index]].append(result.vector)
        rows = [combine((vector, 1.0) for vector in vectors[row]) for row in sorted(vectors)]
        return np.array(rows, dtype=np.float32).reshape(-1, self.model.embed_dim)

    def _items(
        self,
        inputs: Iterable[Mapping[str, Sequence[Any]]],
        row_of_item: list[int],
        *,
        show_progress_bar: bool,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of all rows, and append the row of each to `row_of_item`."""
        kinds, row = self.mteb_model_meta.modalities, 0
        for batch in tqdm(inputs, desc="Batches", disable=not show_progress_bar):
            columns = [kind for kind in kinds if kind in batch]
            if not columns:
                raise ValueError(f"inputs: expected some of {', '.join(kinds)}, got {', '.join(batch)}")
            for values in zip(*(batch[kind] for kind in columns), strict=True):
                given = {
                    kind: value for kind, value in zip(columns, values, strict=True) if value is not None
                }
                if not given:
                    raise ValueError(f"row {row}: expected some of {', '.join(columns)}, got none")
                for kind, value in given.items():
                    row_of_item.append(row)
                    yield {kind: value}
                row += 1


def load(
    model_name: str, revision: str | None = None, *, device: torch.device | str | None = None
) -> ImageBindEncoder:
    """Return the encoder of a named model; mteb calls this as the loader of both models.

    Only the trunks of vision, text and audio are loaded; `n_parameters` counts these.
    """
    name = model_name.removeprefix(f"{ORGANISATION}/")
    return ImageBindEncoder(Embedder(name, device=device, modalities=TRUNKS))


def model_meta(embedder: Embedder) -> Any:
    """Return mteb's record of a model, with the fingerprint of its space as the revision.

    The fingerprint keeps mteb from reusing cached results of other weights or transforms.
    """
    space, model = Space.of(embedder), embedder.model
    kinds = [kind.value for kind in MEDIA_TYPES if kind.modality.value in model.modalities]
    return _meta(
        name=space.model,
        revision=str(space).rpartition(" ")[2],
        n_parameters=sum(weights.numel() for weights in model.parameters()),
        embed_dim=embedder.embed_dim,
        modalities=kinds,
    )


def _meta(*, name: str, revision: str, n_parameters: int, **fields: Any) -> Any:
    """Return a `ModelMeta` with the fields that all models share, and None for those that are unknown."""
    known = {
        "loader": None,
        "languages": ["eng-Latn"],
        "max_tokens": CONTEXT_LENGTH,
        "memory_usage_mb": n_parameters * 4 / BYTES_PER_MB,  # float32
        "framework": ["PyTorch"],
        "similarity_fn_name": "cosine",
        "use_instructions": False,
    }
    names = ("release_date", "license", "open_weights", "public_training_code", "public_training_data")
    unknown = dict.fromkeys([*names, "training_datasets"])
    return mteb.models.ModelMeta(
        name=f"{ORGANISATION}/{name}",
        revision=revision,
        n_parameters=n_parameters,
        **unknown | known | fields,
    )


imagebind_huge = _meta(
    name="imagebind_huge",
    loader=load,
    revision=__version__,
    n_parameters=1_073_097_729,
    n_embedding_parameters=50_593_792,  # 49,408 · 1,024, of text tokens
    embed_dim=1024,
    modalities=[kind.value for kind in MEDIA_TYPES],
    release_date="2023-05-09",
    license="cc-by-nc-sa-4.0",
    open_weights=True,
    training_datasets={"AudioSet", "AudioSetMini"},  # mteb lacks SUN RGB-D, LLVIP, Ego4D and LAION-2B
    reference="https://arxiv.org/abs/2305.05665",
    citation="""@inproceedings{girdhar2023imagebind,
  title={ImageBind: One Embedding Space To Bind Them All},
  author={Girdhar, Rohit and El-Nouby, Alaaeldin and Liu, Zhuang and Singh, Mannat and Alwala, Kalyan Vasudev
    and Joulin, Armand and Misra, Ishan},
  booktitle={CVPR},
  year={2023}
}""",
)
imagebind_tiny = _meta(
    name="imagebind_tiny",
    loader=load,
    revision=__version__,
    n_parameters=5_403_649,
    n_embedding_parameters=3_162_112,  # 49,408 · 64
    embed_dim=128,
    modalities=[kind.value for kind in MEDIA_TYPES],
    license="apache-2.0",
    open_weights=True,
    public_training_data=True,  # `imagebind.toyworld` renders it
    training_datasets=set(),
)
