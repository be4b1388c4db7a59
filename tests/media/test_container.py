"""`open_container` gives the same results with every supported version of PyAV."""

import io
from fractions import Fraction
from types import SimpleNamespace

import av

from imagebind.io.source import DEFAULT_LIMITS
from imagebind.media.container import demux, fraction_of, open_container


def tagged_video(*, title: bytes) -> io.BytesIO:
    """Return a video whose file and stream have this title of 10 bytes."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(30000, 1001))
        container.metadata["title"] = stream.metadata["title"] = "cafe-title"
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 24, "yuv420p")))
        container.mux(stream.encode())
    assert file.getvalue().count(b"cafe-title") == 2
    return io.BytesIO(file.getvalue().replace(b"cafe-title", title))


def test_a_file_is_opened_at_its_beginning_whatever_the_encoding_of_its_tags():
    file = tagged_video(title="café-title".encode("latin-1"))
    file.seek(0, io.SEEK_END)
    with open_container(file, DEFAULT_LIMITS) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_ratios_are_exact_fractions():
    with open_container(tagged_video(title=b"cafe-title"), DEFAULT_LIMITS) as container:
        stream = container.streams.video[0]
        rate, time_base = fraction_of(stream.average_rate), fraction_of(stream.time_base)
        assert type(rate) is type(time_base) is Fraction
        assert rate * time_base == 1 and rate == Fraction(30000, 1001)
        assert fraction_of(stream.codec_context.sample_aspect_ratio) in (None, 1)


class GrowingContainer:
    """Stand-in for a container to which a stream was added midway: at the end PyAV looks up its index."""

    def demux(self, stream):
        yield from [SimpleNamespace(size=1), SimpleNamespace(size=1)]
        raise IndexError("list index out of range")


def test_packets_end_without_an_error_if_streams_were_added_midway():
    assert len(list(demux(GrowingContainer(), None))) == 2
