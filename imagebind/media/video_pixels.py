"""Convert decoded frames to upright RGB: apply colour matrix, range, display matrix and pixel aspect."""

import gc
from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

UNSPECIFIED = 2  # of colour matrix, primaries and transfer, in H.273 and FFmpeg
CONSTANT_LUMINANCE, BT2020 = 10, 9  # swscale converts the first like the second
# swscale rejects other matrices; they are treated as unspecified.
KNOWN_MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, BT2020)
FIXED_POINT = 2**16  # 1.0 in a display matrix

# (a, b, c, d) shows column x, row y at column a·x + c·y, row b·x + d·y
DisplayMatrix = tuple[int, int, int, int]
UPRIGHT_MATRIX: DisplayMatrix = (1, 0, 0, 1)
# By 0, 90, 180 and 270 degrees anticlockwise.
QUARTER_TURNS = (UPRIGHT_MATRIX, (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
# Each of the eight display matrices -> FFmpeg's filters that apply it, with their arguments.
DISPLAY_MATRIX_FILTERS: dict[DisplayMatrix, list[tuple[str, str | None]]] = {
    UPRIGHT_MATRIX: [],
    (-1, 0, 0, 1): [("hflip", None)],
    (1, 0, 0, -1): [("vflip", None)],
    (-1, 0, 0, -1): [("hflip", None), ("vflip", None)],
    (0, 1, 1, 0): [("transpose", "cclock_flip")],
    (0, 1, -1, 0): [("transpose", "clock")],
    (0, -1, 1, 0): [("transpose", "cclock")],
    (0, -1, -1, 0): [("transpose", "clock_flip")],
}


class RgbConverter:
    """Converts frames to (h, w, 3) uint8 RGB as `ffmpeg` does, upright by `matrix` or their display matrices.

    The colour matrix (BT.601, BT.709, BT.2020, ...), range and chroma position are the frame's. If the pixels
    are `pixel_aspect` times as wide as high, a frame is stretched along its stored width to square pixels.
    `VideoFrame.to_ndarray` ignores the chroma position, so it differs on 10-bit 4:2:0. It also
    converts the fields of interlaced frames separately, which `ffmpeg` does not do by default.

    Frames with the same properties share a filter graph: building one takes longer than converting a small
    frame. One converter is for one video and one thread, and must be closed.
    """

    def __init__(self, *, matrix: DisplayMatrix | None = None, pixel_aspect: Fraction = Fraction(1)):
        self.matrix = matrix
        self.pixel_aspect = pixel_aspect
        self._graph: Graph | None = None
        self._properties: tuple[object, ...] = ()  # of the frames that the graph converts

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Convert one frame; its colour tags that swscale rejects are replaced."""
        _neutralise_tags(frame)
        matrix = display_matrix(frame) if self.matrix is None else self.matrix
        size_and_format = (frame.width, frame.height, frame.format.name)
        properties = (*size_and_format, frame.colorspace, frame.color_range, matrix)
        if self._graph is None or properties != self._properties:
            self.close()
            self._graph, self._properties = self._new_graph(frame, matrix), properties
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()

    def close(self) -> None:
        """Free the filter graph."""
        if self._graph is not None:
            _free(self._graph)
            self._graph = None

    def _new_graph(self, frame: VideoFrame, matrix: DisplayMatrix) -> Graph:
        filters = DISPLAY_MATRIX_FILTERS[matrix]
        if self.pixel_aspect != 1:
            width = max(round(frame.width * self.pixel_aspect), 1)
            filters = [("scale", f"{width}:{frame.height}"), *filters]
        graph = Graph()
        if hasattr(graph, "threads"):  # not in PyAV 16
            graph.threads = 1  # a forked process would wait forever for its parent's threads
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
        )
        filters = [*filters, ("format", "pix_fmts=rgb24"), ("buffersink", None)]
        graph.link_nodes(source, *(graph.add(*each) for each in filters)).configure()
        return graph


def display_matrix(frame: VideoFrame) -> DisplayMatrix:
    """Return the 2 x 2 part of a frame's display matrix, rounded to the nearest of eight.

    The eight are the rotations by multiples of 90 degrees, each with and without mirroring.
    """
    try:
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:  # the frame has side data of a type unknown to PyAV
        return QUARTER_TURNS[round(frame.rotation / 90) % 4]  # lacks mirroring
    if matrix is None:
        return UPRIGHT_MATRIX
    entries = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3) / FIXED_POINT
    (a, b), (c, d) = entries[:2, :2].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)


def _free(graph: Graph) -> None:
    """Break a graph's reference cycles, which in PyAV 19 keep it and a frame in memory until a collection."""
    for held in gc.get_referents(graph):
        if isinstance(held, dict):  # its filters, which refer to it
            held.clear()


def _neutralise_tags(frame: VideoFrame) -> None:
    """Replace colour tags that swscale rejects. Primaries and transfer are not converted."""
    if hasattr(frame, "color_trc"):  # not in PyAV 16
        frame.color_trc = frame.color_primaries = UNSPECIFIED
    if frame.colorspace == CONSTANT_LUMINANCE:
        frame.colorspace = BT2020
    elif frame.colorspace not in KNOWN_MATRICES:
        frame.colorspace = UNSPECIFIED
