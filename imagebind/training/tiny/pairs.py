"""Pairs of vision and another sense out of a rendered world; captions are drawn anew each time.

Pictures are flipped with what they are paired with, and sounds are masked and made louder or fainter: of
14,000 sounds heard ten times each, shape was told in 92% of new ones without, and in 96% so.
"""

from functools import lru_cache

import numpy as np
from torch import Tensor

from imagebind.datasets.pairs import PairSample, generator
from imagebind.modality import MediaKind, ModalityType
from imagebind.toyworld.captions import MIXED, SHAPE_FIRST, caption
from imagebind.toyworld.rendered import Rendered
from imagebind.toyworld.scene import Scene
from imagebind.training.data.augment import mask_frequencies
from imagebind.transforms.text import Tokenizer

FLIP = 0.5
LOUDNESS = 0.1  # standard deviation, of what a spectrogram is normalised by: 4 decibels
FLIPPED = frozenset({ModalityType.DEPTH, ModalityType.THERMAL, ModalityType.TEXT})  # text names no side
SHUFFLE_STREAM = 2**31  # sets which scenes are put together apart from all other chance


class WorldPairs:
    """The pairs of one kind, for `training.data.mixture`.

    Args:
        vision: stills or clips. A sense that shows motion wants clips: none can be seen in a still.
        shape_first: captions of so many first turns name shape and little else: see `captions.SHAPE_FIRST`.
        embeddings: of each scene's vision (n, e), where vision is frozen and was embedded before.
        shuffled: each scene's vision comes with another scene's sense: a control, nothing can be learnt.
    """

    def __init__(
        self,
        rendered: Rendered,
        vision: MediaKind,
        modality: ModalityType,
        *,
        shape_first: int = 0,
        embeddings: Tensor | None = None,
        shuffled: bool = False,
        seed: int = 0,
    ) -> None:
        self.rendered = rendered
        self.vision = vision
        self.modality = ModalityType(modality)
        self.shape_first = shape_first
        self.embeddings = embeddings
        self.seed = seed
        self._tokenize = Tokenizer()
        self._scene = lru_cache(maxsize=None)(rendered.scene)
        order = np.arange(len(rendered))
        self._others = generator(seed, SHUFFLE_STREAM, 0).permutation(order) if shuffled else order

    def __len__(self) -> int:
        return len(self.rendered)

    def sample(self, index: int, *, turn: int) -> PairSample:
        """A scene's pair; what is chance in it follows from seed, turn and index."""
        rng = generator(self.seed, turn, index)
        other_index = int(self._others[index])
        flip = self.embeddings is None and self.modality in FLIPPED and rng.uniform() < FLIP
        if self.modality is ModalityType.TEXT:
            other = self._caption(self._scene(other_index), rng, turn)
        else:
            other = self.rendered.tensor(MediaKind(self.modality.value), other_index, flip=flip)
        if self.modality is ModalityType.AUDIO:
            other = mask_frequencies(other, rng) + rng.normal(0, LOUDNESS)
        if self.embeddings is not None:
            return PairSample(self.embeddings[index], other, self.modality)
        return PairSample(self.rendered.tensor(self.vision, index, flip=flip), other, self.modality)

    def _caption(self, scene: Scene, rng: np.random.Generator, turn: int) -> Tensor:
        style = SHAPE_FIRST if turn < self.shape_first else MIXED
        return self._tokenize(caption(scene, rng, still=self.vision is MediaKind.IMAGE, style=style))[0]
