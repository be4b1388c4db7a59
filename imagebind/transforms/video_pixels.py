"""A decoded frame to upright RGB: its colour matrix, range, display matrix and pixel aspect applied."""

from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

UNSPECIFIED = 2  # of colour matrix, primaries and transfer, in H.273 and FFmpeg
CONSTANT_LUMINANCE, BT2020 = 10, 9  # swscale converts the first as the second
KNOWN_MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, BT2020)  # swscale refuses others; they count as unspecified
FIXED_POINT = 2**16  # 1.0 in a display matrix

UPRIGHT = (1, 0, 0, 1)
QUARTER_TURNS = (UPRIGHT, (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))  # by 90 degrees anticlockwise each


def to_rgb(frame: VideoFrame, *, pixel_aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Convert a frame to (h, w, 3) uint8 RGB as `ffmpeg` does, and apply its display matrix.

    The colour matrix (BT.601, BT.709, BT.2020, ...), range and chroma position are the frame's. If the pixels
    are `pixel_aspect` times as wide as high, the frame is stretched along its stored width to square pixels.
    `VideoFrame.to_ndarray` ignores the chroma position, and so gives other values for 10-bit 4:2:0.
    """
    _neutralise_tags(frame)
    graph = Graph()
    if hasattr(graph, "threads"):  # PyAV 17
        graph.threads = (
            1  # others would not exist in a forked process, where freeing the graph waits for them
        )
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
    )
    steps = [source]
    if pixel_aspect != 1:
        steps.append(graph.add("scale", f"{max(round(frame.width * pixel_aspect), 1)}:{frame.height}"))
    steps += [graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")]
    graph.link_nodes(*steps).configure()
    graph.vpush(frame)
    return turn_upright(graph.vpull().to_ndarray(), display_matrix(frame))


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


def _neutralise_tags(frame: VideoFrame) -> None:
    """Replace tags that swscale refuses. Primaries and transfer do not matter: they are not converted."""
    if hasattr(frame, "color_trc"):  # PyAV 17
        frame.color_trc = frame.color_primaries = UNSPECIFIED
    if frame.colorspace == CONSTANT_LUMINANCE:
        frame.colorspace = BT2020
    elif frame.colorspace not in KNOWN_MATRICES:
        frame.colorspace = UNSPECIFIED
