"""A decoded frame to upright RGB: its colour matrix, range, display matrix and pixel aspect applied."""

from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

UNSPECIFIED = 2  # of colour matrix, primaries and transfer, in H.273 and FFmpeg
BT601 = 5  # the matrix that FFmpeg assumes where a file states none
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
CONSTANT_LUMINANCE, BT2020 = 10, 9  # swscale converts the first as the second
KNOWN_MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, BT2020)  # swscale refuses others; they count as unspecified
FIXED_POINT = 2**16  # 1.0 in a display matrix

UPRIGHT = (1, 0, 0, 1)
QUARTER_TURNS = (UPRIGHT, (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))  # by 90 degrees anticlockwise each


def to_rgb(frame: VideoFrame, *, pixel_aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Convert a frame to (h, w, 3) uint8 RGB, turned and mirrored as its display matrix says.

    The colour matrix (BT.601, BT.709, BT.2020, ...) and range are the frame's, as in FFmpeg. A frame whose
    pixels are `pixel_aspect` times as wide as high is stretched along its width (as stored) until they are
    square.
    """
    _neutralise_tags(frame)
    options: dict[str, Any] = {} if frame.format.is_rgb else _colour_options(frame)
    if pixel_aspect != 1:
        options["width"] = max(round(frame.width * pixel_aspect), 1)
    # One thread: the scaler's own would be forked with the process, and whoever frees it there waits forever.
    return turn_upright(frame.to_ndarray(format="rgb24", threads=1, **options), display_matrix(frame))


def turn_upright(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply the 2 x 2 part of a display matrix, of entries -1, 0 and 1: (h, w, 3) -> (h, w, 3) or (w, h, 3).

    (a, b, c, d) shows the pixel at column x and row y at column a·x + c·y and row b·x + d·y.
    """
    a, b, c, d = matrix
    if a == d == 0:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1])


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The 2 x 2 part of a frame's display matrix, of entries -1, 0 and 1: the nearest of the eight.

    The eight are the turns by quarters, each with and without mirroring.
    """
    try:
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:  # PyAV has no name for another kind of side data that the frame has
        return QUARTER_TURNS[round(frame.rotation / 90) % 4]  # tells turns only
    if matrix is None:
        return UPRIGHT
    entries = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3) / FIXED_POINT
    (a, b), (c, d) = entries[:2, :2].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)


def _colour_options(frame: VideoFrame) -> dict[str, int]:
    """What `to_ndarray` needs to know of a frame's colours; PyAV before 17 assumes BT.601, limited range.

    Those versions set matrix and range only where source and destination differ, so the destination is given
    too. RGB has no matrix, so its value does not matter.
    """
    matrix, color_range = int(frame.colorspace), int(frame.color_range)
    if matrix in (UNSPECIFIED, BT601) and color_range != FULL_RANGE:
        return {}
    return {"src_colorspace": matrix, "dst_colorspace": BT601, "src_color_range": color_range}


def _neutralise_tags(frame: VideoFrame) -> None:
    """Replace tags that swscale refuses. Primaries and transfer do not matter: they are not converted."""
    if hasattr(frame, "color_trc"):  # PyAV 17
        frame.color_trc = frame.color_primaries = UNSPECIFIED
    if frame.colorspace == CONSTANT_LUMINANCE:
        frame.colorspace = BT2020
    elif frame.colorspace not in KNOWN_MATRICES:
        frame.colorspace = UNSPECIFIED
