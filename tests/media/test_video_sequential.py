"""Single frames of a video file equal those of a sequential decode, whatever the file."""

import math
import random
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from imagebind.errors import collect_warnings
from imagebind.media.video_file import open_video
from imagebind.media.video_stream import StreamDecoder
from tests.media.filmed import needs_ffmpeg, packets_of, record, to_rgb, trim, with_edit_list

pytestmark = needs_ffmpeg

X264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 24"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=24"
MATROSKA_LIVE = "-f matroska -live 1"  # without an index
FEW_ENCODINGS = {
    "closed.mp4": f"{X264} -bf 3",
    "open.mp4": f"{X264} -bf 3 -x264-params open-gop=1",
    "refresh.mp4": f"{X264} -x264-params intra-refresh=1",
    "fragments.mp4": f"{X264} -bf 2 -movflags frag_keyframe+empty_moov",
    "open.ts": f"{X264} -bf 3 -x264-params open-gop=1",
    "live.mkv": f"{X264} -bf 2 {MATROSKA_LIVE}",
    "hidden.webm": "-c:v libvpx -g 24 -auto-alt-ref 1 -lag-in-frames 16 -b:v 200k",
    "b.mpg": "-c:v mpeg2video -g 15 -bf 2",
    "b.avi": "-c:v mpeg4 -g 24 -bf 2",
    "b.h264": f"{X264} -bf 2",
    "packed.avi": "-c:v libxvid -g 24 -bf 2",
}
ALL_ENCODINGS = FEW_ENCODINGS | {
    "pyramid.mov": f"{X264} -bf 4 -x264-params b-pyramid=2:open-gop=1",
    "intra.mov": "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 1",
    "plain.mp4": f"{X264} -bf 0",
    "interlaced.mp4": f"{X264} -flags +ildct+ilme",
    "faststart.mp4": f"{X264} -bf 3 -movflags +faststart",
    "offsets.mp4": f"{X264} -bf 3 -movflags +negative_cts_offsets",
    "closed.hevc.mp4": f"{X265}:bframes=3 -tag:v hvc1",
    "open.hevc.mp4": f"{X265}:bframes=4:open-gop=1",
    "open.hevc.mkv": f"{X265}:open-gop=1",
    "open.hevc.ts": f"{X265}:open-gop=1",
    "closed.hevc": X265,
    "b.m2ts": f"{X264} -bf 3 -f mpegts -mpegts_m2ts_mode 1",
    "wrapping.ts": f"{X264} -bf 3 -output_ts_offset 95442",  # past 33 bits
    "b.mpeg2.ts": "-c:v mpeg2video -g 15 -bf 2",
    "b.mpeg2.mkv": "-c:v mpeg2video -g 15 -bf 2",
    "b.mxf": "-c:v mpeg2video -g 15 -bf 2",
    "b.m2v": "-c:v mpeg2video -g 12 -bf 2",
    "b.mpeg1.mpg": "-c:v mpeg1video -g 15 -bf 2",
    "b.flv": f"{X264} -bf 2",
    "sorenson.flv": "-c:v flv -g 24",
    "screen.flv": "-c:v flashsv -g 24",
    "v2.wmv": "-c:v wmv2 -g 24",
    "v1.asf": "-c:v wmv1 -g 24",
    "h263.3gp": "-c:v h263 -s 176x144 -g 24",
    "theora.ogv": "-c:v libtheora -g 24",
    "vp9.webm": "-c:v libvpx-vp9 -g 24 -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16",
    "vp9.mp4": "-c:v libvpx-vp9 -g 24 -cpu-used 8",
    "live.webm": "-c:v libvpx -g 24 -f webm -live 1",
    "av1.mp4": "-c:v libsvtav1 -preset 12 -g 24",
    "av1.mkv": "-c:v libaom-av1 -cpu-used 8 -g 24",
    "h264.avi": f"{X264} -bf 2",
    "mjpeg.avi": "-c:v mjpeg",
    "huffyuv.avi": "-c:v huffyuv",
    "msmpeg4.avi": "-c:v msmpeg4 -g 24",
    "zmbv.avi": "-c:v zmbv -g 24",
    "b.mpeg4.mp4": "-c:v mpeg4 -g 24 -bf 2",
    "b.m4v": "-c:v mpeg4 -g 12 -bf 2",
    "b.nut": f"{X264} -bf 3",
    "ffv1.mkv": "-c:v ffv1 -level 3 -g 10",
    "prores.mov": "-c:v prores_ks",
    "dnxhd.mov": "-c:v dnxhd -profile:v dnxhr_lb -s 320x240 -pix_fmt yuv422p",
    "qtrle.mov": "-c:v qtrle",
    "cinepak.mov": "-c:v cinepak",
    "raw.y4m": "",
    "mjpeg.mjpeg": "-f mjpeg",
    "palette.gif": "",
    "palette.apng": "",
    "vp9.ivf": "-c:v libvpx-vp9 -g 24 -cpu-used 8",
    "rv20.rm": "-c:v rv20 -g 24",
    "uneven.mp4": f"{X264} -bf 3 -vf select='not(mod(n\\,3))+lt(n\\,40)' -fps_mode vfr",
    "uneven.mkv": f"{X264} -bf 3 -vf select='not(mod(n\\,3))+lt(n\\,40)' -fps_mode vfr",
}
EDITS = [
    [(1.5, 1.0)],
    [(1, None), (2, 0.5)],  # shows nothing first
    [(1, 2.0), (1, 0.5)],  # backwards
    [(0.5, 1), (0.5, 1), (0.5, 1)],  # the same part three times
    [(0.7, 0.3), (0.4, None), (1.1, 2.5)],
    [(9, 1)],  # longer than the video
]
CUT_OUT_ENCODINGS = ["closed.mp4", "open.mp4", "refresh.mp4", "open.ts", "b.mpg", "b.avi", "packed.avi"]
TRIMMED_SUFFIXES = (".mp4", ".mov", ".mkv", ".ts", ".avi", ".webm", ".mpg", ".flv")
# MP4 and MOV without a table of keyframes, AVI with all frames marked as keyframes.
FALSE_KEYFRAME_ENCODINGS = {
    "mpeg4.mp4": "-c:v mpeg4 -bf 0",
    "mpeg4_b.mp4": "-c:v mpeg4 -bf 2",
    "mpeg2.mp4": "-c:v mpeg2video -bf 2",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=error -bf 0",
    "h264.mp4": f"{X264} -bf 2",
    "ffv1.mov": "-c:v ffv1 -level 3",
    "msmpeg4.avi": "-c:v msmpeg4",
    "wmv2.avi": "-c:v wmv2",
    "cinepak.avi": "-c:v cinepak",
    "msvideo1.avi": "-c:v msvideo1",
    "zmbv.avi": "-c:v zmbv",
    "h263p.avi": "-c:v h263p",
    "h261.avi": "-c:v h261",
    "rpza.mov": "-c:v rpza",
    "smc.mov": "-c:v smc",
    "qtrle.mov": "-c:v qtrle",
    "qtrle_gray.mov": "-c:v qtrle -pix_fmt gray",
}
CLOCK_TOLERANCE = 0.0021  # seconds; Matroska stores milliseconds
RANDOM_PICKS = 2000  # of one to four frames


def decode_all(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Decode all frames in sequence; return them and their times in seconds, NaN if the file has none."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue
            frames += [to_rgb(frame) for frame in decoded]
            times += [math.nan if frame.pts is None else frame.time for frame in decoded]
    return frames, times


def count_frames(path: Path) -> int:
    """Count the frames that the ffmpeg command outputs."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", path, "-fps_mode", "passthrough"]
    table = subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, text=True).stdout
    return sum(line.startswith("0,") for line in table.splitlines())


def difference(path: Path, *, count: int = 2) -> float:
    """Return the largest difference of frames from those of a sequential decode; allow no warning.

    First all frames are read, then `count` times one to four random ones.
    """
    all_frames, times = decode_all(path)
    assert all_frames
    rng = random.Random(path.name)
    worst = 0.0
    with collect_warnings() as warnings, open_video(path) as video:
        assert len(video.stamps) == video.info.frames == len(all_frames)
        starts = [float(tick * video.clock.tick) for tick in video.clock.ticks]
        # The times of joined recordings restart, and AVI has decoding times.
        if times == sorted(times) and not math.isnan(times[0]) and path.suffix != ".avi":
            np.testing.assert_allclose(starts, np.array(times) - times[0], atol=CLOCK_TOLERANCE)
        sizes = [min(rng.randint(1, 4), len(all_frames)) for _ in range(count)]
        picks = [sorted(rng.sample(range(len(all_frames)), size)) for size in sizes]
        for indices in [range(len(all_frames)), *picks]:
            for index, frame in video.decode(indices):
                worst = max(worst, float(np.abs(frame.astype(int) - all_frames[index]).max()))
    assert warnings == []
    return worst


@pytest.mark.parametrize("name", FEW_ENCODINGS)
def test_a_single_frame_equals_that_of_a_sequential_decode(name, tmp_path):
    path = record(tmp_path / name, FEW_ENCODINGS[name], seconds=2)
    assert len(decode_all(path)[0]) == count_frames(path) >= 48
    assert difference(path) == 0


@pytest.mark.parametrize("name", CUT_OUT_ENCODINGS)
def test_a_stretch_cut_out_without_encoding_gives_the_frames_that_ffmpeg_shows(name, tmp_path):
    whole = record(tmp_path / name, FEW_ENCODINGS[name], seconds=3)
    for number, (start, seconds) in enumerate([(0.3, 1), (1.37, 1)]):
        for suffix in {whole.suffix, ".mp4"} if name != "packed.avi" else {".avi"}:
            part = trim(whole, tmp_path / f"{number}{suffix}", start=start, seconds=seconds)
            frames = count_frames(part)
            assert len(decode_all(part)[0]) == frames
            if frames:
                assert difference(part) == 0


@pytest.mark.parametrize("name", ["open.mp4", pytest.param("refresh.mp4", marks=pytest.mark.huge)])
def test_edit_lists_are_shown_as_ffmpeg_shows_them(name, tmp_path):
    whole = record(tmp_path / name, FEW_ENCODINGS[name], seconds=3)
    with av.open(str(whole)) as container:
        timescale = container.streams.video[0].time_base.denominator
    for number, edits in enumerate(EDITS):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(with_edit_list(whole.read_bytes(), edits, timescale=timescale))
        assert difference(path) == 0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 0.4), (0.4, 0)])
@pytest.mark.parametrize("codec", [f"{X264} -bf 2", "-c:v mpeg2video -g 15 -bf 2"])
def test_joined_recordings_show_all_frames_one_after_the_other(first, second, codec, tmp_path):
    """Parts that begin within a group of pictures (GOP) lose frames, as in FFmpeg."""
    whole = record(tmp_path / "whole.ts", codec, seconds=2).read_bytes()
    parts = [whole[int(len(whole) * share) // 188 * 188 :] for share in (first, second)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    assert difference(path, count=0) == 0
    with open_video(path) as video:
        assert video.info.frames == count_frames(path)
        assert video.info.duration == pytest.approx(video.info.frames / 25, abs=0.2)
        assert (np.diff(video.clock.ticks) >= 0).all()


def mark_all_as_keyframes(path: Path) -> None:
    """Mark every frame as a keyframe, in MP4 by removing the table of keyframes."""
    data = bytearray(path.read_bytes().replace(b"stss", b"free"))
    if path.suffix == ".avi":
        table = data.rindex(b"idx1")
        (size,) = struct.unpack_from("<I", data, table + 4)
        for entry in range(table + 8, table + 8 + size, 16):
            data[entry + 4] |= 0x10
    path.write_bytes(data)


def decoded_for(path: Path, requested: int, monkeypatch, *, lost: int = 0) -> list[int]:
    """Return the numbers of the frames decoded to read one, and check it; `lost` earlier ones are missing."""
    all_frames, _ = decode_all(path)
    decoded = []
    real = StreamDecoder.frames_from

    def recording_frames(*arguments):
        for number, frame in real(*arguments):
            decoded.append(number)
            yield number, frame

    with open_video(path) as video, monkeypatch.context() as patch:
        patch.setattr(StreamDecoder, "frames_from", recording_frames)
        ((_, frame),) = video.decode([requested])
    np.testing.assert_array_equal(frame, all_frames[requested - lost])
    return decoded


SLOWLY_ENCODED = ("cinepak.avi", "zmbv.avi")


@pytest.mark.parametrize("name", FALSE_KEYFRAME_ENCODINGS)
def test_decoding_does_not_start_at_frames_falsely_marked_as_keyframes(name, tmp_path):
    size = "64x48" if name in SLOWLY_ENCODED else "176x144"
    path = record(tmp_path / name, f"{FALSE_KEYFRAME_ENCODINGS[name]} -g 12", seconds=2, size=size)
    mark_all_as_keyframes(path)
    all_frames, _ = decode_all(path)
    with collect_warnings() as warnings:
        for indices in [5], [12], [31], [45], [17, 18, 40]:
            with open_video(path) as video:
                assert video.info.frames == len(all_frames) == 50
                for index, frame in video.decode(indices):
                    np.testing.assert_array_equal(frame, all_frames[index])
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "first"), [("intra.mov", 40), ("closed.hevc.mp4", 24), ("b.mpeg4.mp4", 24), ("b.mpeg2.mkv", 30)]
)
def test_decoding_starts_at_true_keyframes(name, first, tmp_path, monkeypatch):
    path = record(tmp_path / name, ALL_ENCODINGS[name], seconds=2)
    decoded = decoded_for(path, 40, monkeypatch)
    assert first - 4 <= min(decoded) <= first  # frames shown before it may follow it in the file


def test_decoding_starts_at_the_keyframe_before_a_damaged_one(tmp_path, monkeypatch):
    path = record(tmp_path / "damaged.mp4", "-c:v mpeg4 -g 12 -bf 0", seconds=2)
    whole = path.read_bytes()
    keyframe = packets_of(whole)[24]
    path.write_bytes(whole.replace(keyframe, bytes(len(keyframe))))
    assert len(decode_all(path)[0]) == 49
    decoded = decoded_for(path, 29, monkeypatch, lost=1)
    assert min(decoded) == 12
    assert 24 not in decoded


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_frames_keep_their_sizes_if_the_size_changes_midway(suffix, tmp_path):
    parts = [("small.ts", "160x120"), ("large.ts", "240x160"), ("again.ts", "160x120")]
    data = [record(tmp_path / name, f"{X264} -bf 2", seconds=1, size=size) for name, size in parts]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in data))
    path = tmp_path / f"sizes{suffix}"
    if suffix != ".ts":
        subprocess.run(["ffmpeg", "-loglevel", "error", "-i", joined, "-c", "copy", path], check=True)
    else:
        path = joined
    with open_video(path) as video:
        shapes = [frame.shape[:2] for _, frame in video.decode(range(video.info.frames))]
    assert shapes == [(120, 160)] * 25 + [(160, 240)] * 25 + [(120, 160)] * 25


@pytest.mark.huge
def test_random_frames_of_every_container_and_codec_equal_those_of_a_sequential_decode(tmp_path):
    rng = random.Random(12)
    worst, files = {}, []
    for name, options in ALL_ENCODINGS.items():
        whole = record(tmp_path / name, options, seconds=4)
        files.append(whole)
        if whole.suffix not in TRIMMED_SUFFIXES:
            continue
        start, seconds = round(rng.uniform(0.3, 2), 2), round(rng.uniform(1, 2), 2)
        files.append(
            trim(whole, tmp_path / f"{whole.stem}_trimmed{whole.suffix}", start=start, seconds=seconds)
        )
    count = RANDOM_PICKS // len(files) + 1
    for path in files:
        worst[path.name] = difference(path, count=count)
    print(f"{count * len(files)} picks of {len(files)} files, {len(ALL_ENCODINGS)} combinations")
    print(f"worst difference: {max(worst.values())} gray levels")
    assert not {name: value for name, value in worst.items() if value}
