"""Background items of each media type: a box is compared with them, as well as with the query."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from imagebind.embedder import Embedder
from imagebind.modality import MediaKind, media_kind

IMAGE_SIDE = 224  # pixels
AUDIO_SECONDS, AUDIO_RATE, NOISE_STD = 2, 16_000, 0.1  # s, Hz, share of full scale
IMU_SECONDS, IMU_RATE, GRAVITY = 10, 200, 9.81  # s, Hz, m/s²
FAR_MILLIMETRES = 3000
ROOM_CENTIKELVIN = 29_315  # 20 °C
NOISE_SEED = 0

# Source of the items: ours.
TEXTS = ("the background.", "an empty scene.", "the ground.", "a texture.", "nothing in particular.")


def embed_backgrounds(
    embedder: Embedder,
    kinds: Iterable[MediaKind],
    given: Mapping[MediaKind | str, Sequence[Any]],
) -> dict[MediaKind, np.ndarray]:
    """Return the unit vectors of the background items of each media type: {kind: (k, e)}.

    Args:
        given: items that replace the default ones of their media type. The default ones of a pack's modality
            are those of images, to which it was bound.

    Raises:
        MediaError: an item cannot be embedded.
        ValueError: `given` has an empty list for a media type, or an unknown media type.
    """
    if unknown := [kind for kind in given if kind not in {*map(str, MediaKind), *embedder.bound}]:
        names = ", ".join([*map(str, MediaKind), *embedder.bound])
        raise ValueError(f"backgrounds: expected media types among {names}, got {unknown[0]}")
    chosen = {media_kind(kind, embedder.bound): list(items) for kind, items in given.items()}
    if empty := [str(kind) for kind, items in chosen.items() if not items]:
        raise ValueError(f"backgrounds: expected one or more items of {empty[0]}, got none")
    return {kind: _embedded(embedder, kind, chosen.get(kind)) for kind in kinds}


def _embedded(embedder: Embedder, kind: MediaKind, items: list[Any] | None) -> np.ndarray:
    if items is None and kind in embedder.bound:  # a pack has no default items; a box is an image
        kind = MediaKind.IMAGE
    return embedder.encode(items or default_backgrounds(kind), modality=kind.modality)


def default_backgrounds(kind: MediaKind) -> list[Any]:
    """Return the default background items of a media type.

    Texts without a subject, such as "an empty scene."; silence and noise; a flat depth image; a thermal image
    of uniform temperature; an IMU at rest; for image and video, a grey and a random image.
    """
    rng = np.random.default_rng(NOISE_SEED)
    match kind:
        case MediaKind.TEXT:
            return list(TEXTS)
        case MediaKind.AUDIO:
            samples = (1, AUDIO_SECONDS * AUDIO_RATE)
            waveforms = [np.zeros(samples), rng.normal(0, NOISE_STD, samples)]
            return [{"audio": waveform.astype(np.float32), "rate": AUDIO_RATE} for waveform in waveforms]
        case MediaKind.DEPTH:
            plane = np.full((IMAGE_SIDE, IMAGE_SIDE), FAR_MILLIMETRES, dtype=np.uint16)
            return [{"depth": Image.fromarray(plane)}]
        case MediaKind.THERMAL:
            room = np.full((IMAGE_SIDE, IMAGE_SIDE), ROOM_CENTIKELVIN, dtype=np.uint16)
            return [{"thermal": Image.fromarray(room)}]
        case MediaKind.IMU:
            at_rest = np.zeros((6, IMU_SECONDS * IMU_RATE), dtype=np.float32)
            at_rest[2] = GRAVITY
            return [{"imu": at_rest, "rate": IMU_RATE}]
        case MediaKind.IMAGE | MediaKind.VIDEO:
            pixels = rng.integers(0, 256, (IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.uint8)
            return [Image.new("RGB", (IMAGE_SIDE, IMAGE_SIDE), (128, 128, 128)), Image.fromarray(pixels)]
