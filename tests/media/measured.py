"""Files of measurements for tests: encoded arrays, and damaged copies of them."""

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image


def encoded(array: np.ndarray, form: str, **options: str) -> bytes:
    """Encode an array as "npy", "npz" (named depth), or an image in one of Pillow's formats."""
    file = io.BytesIO()
    if form == "npy":
        np.save(file, array)
    elif form == "npz":
        np.savez_compressed(file, depth=array)
    else:
        Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """Draw one of the files, perhaps cut short, with up to 4 bytes changed, mostly in its header."""
    whole = draw(st.sampled_from(files))
    bad = bytearray(whole[: draw(st.just(len(whole)) | st.integers(1, len(whole)))])
    last = len(bad) - 1
    for position in draw(st.lists(st.integers(0, last) | st.integers(0, min(200, last)), max_size=4)):
        bad[position] ^= draw(st.integers(1, 255))
    return bytes(bad)
