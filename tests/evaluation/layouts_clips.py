"""Writes small data sets of YouTube clips in their published layouts, with scenes of the toy world."""

import io
from functools import cache
from pathlib import Path

import av
import numpy as np

from imagebind.toyworld import FRAME_RATE, render_audio, render_video
from tests.evaluation.layouts import scenes, write_audio, write_csv

MIDS = {  # by shape or motion, in the published form
    "disc": "/m/09x0r",
    "ring": "/m/05zppz",
    "triangle": "/m/02zsn",
    "square": "/m/0ytgt",
    "star": "/m/01h8n0",
    "cross": "/m/02qldy",
    "crescent": "/m/0261r1",
    "bar": "/m/0brhx",
    "resting": "/m/07p6fty",
    "sliding": "/m/07q4ntr",
    "bouncing": "/m/07rwj3x",
    "approaching": "/m/07sr1lc",
    "spinning": "/m/04gy_2",
}


def ytid(number: int) -> str:
    """Return an id of 11 characters; some start with a hyphen, as YouTube's do."""
    return f"{'-_a0Z'[number % 5]}{number:03}xY-zQ_w"


@cache
def clip_bytes(number: int, *, with_audio: bool = True) -> bytes:
    """Return the video of a scene of `scenes` in MP4, with its audio as the second stream."""
    scene = scenes(number + 1)[number]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream(
            "libx264", rate=FRAME_RATE, options={"preset": "veryfast", "threads": "1"}
        )
        frames = render_video(scene)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        if with_audio:
            samples, rate = render_audio(scene)
            audio = container.add_stream("aac", rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
            frame.rate = rate
        for pixels in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        if with_audio:
            container.mux([*audio.encode(frame), *audio.encode(None)])
    return file.getvalue()


def write_clip(path: Path, number: int, *, with_audio: bool = True) -> None:
    """Write the video of a scene, with its audio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clip_bytes(number, with_audio=with_audio))


def write_audioset(root: Path, count: int = 24) -> Path:
    """Write AudioSet, whose labels are each scene's shape and motion."""
    write_csv(
        root / "class_labels_indices.csv",
        [["index", "mid", "display_name"], *([n, MIDS[name], name] for n, name in enumerate(MIDS))],
    )
    lines = [
        "# Segments csv created Sun Mar  5 10:54:25 2017",
        f"# num_ytids={count}, num_segs={count}, num_unique_labels=13, num_positive_labels={2 * count}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for number, scene in enumerate(scenes(count)):
        labels = ",".join(MIDS[each.value] for each in (scene.shape, scene.motion))
        lines.append(f'{ytid(number)}, {30 * number}.000, {30 * number + 10}.000, "{labels}"')
        name = ytid(number) if number % 2 else f"{ytid(number)}_{30 * number:g}_{30 * number + 10:g}"
        write_audio(root / "eval" / f"{name}.wav", scene)
    (root / "eval_segments.csv").write_text("\n".join(lines) + "\n")
    return root


CLASSES = {  # by shape: classes of VGGSound, of AVE and of Kinetics-400
    "disc": ("people marching", "Church bell", "abseiling"),
    "ring": ("pigeon, dove cooing", "Male speech, man speaking", "air drumming"),
    "triangle": ("playing bass guitar", "Bark", "answering questions"),
    "square": ("police car (siren)", "Fixed-wing aircraft, airplane", "applauding"),
    "star": ("ice cracking", "Race car, auto racing", "applying cream"),
    "cross": ("hail", "Female speech, woman speaking", "archery"),
    "crescent": ("tap dancing", "Helicopter", "arm wrestling"),
    "bar": ("wind noise", "Violin, fiddle", "arranging flowers"),
}
SHAPES = list(CLASSES)


def write_vggsound(root: Path, count: int = 24, *, video: bool = False) -> Path:
    """Write VGGSound, whose classes are shapes; the first clips are of the training split, and missing."""
    rows: list[list] = [["train-00000", 9, classes[0], "train"] for classes in CLASSES.values()]
    for number, scene in enumerate(scenes(count)):
        rows.append([ytid(number), 30 * number, CLASSES[scene.shape.value][0], "test"])
        suffix = ("wav", "flac")[number % 2]
        name = f"{ytid(number)}_{30 * number:06}"
        if video:
            write_clip(root / "video" / f"{name}.mp4", number)
        else:
            write_audio(root / "audio" / f"{name}.{suffix}", scene)
    write_csv(root / "vggsound.csv", rows)
    return root


def write_ave(root: Path, count: int = 16) -> Path:
    """Write AVE, whose classes are shapes."""
    lines = [f"{classes[1]}&gone-00000{n}&good&0&10" for n, classes in enumerate(CLASSES.values())]
    for number, scene in enumerate(scenes(count)):
        write_clip(root / "AVE" / f"{ytid(number)}.mp4", number)
        lines.append(f"{CLASSES[scene.shape.value][1]}&{ytid(number)}&good&{number % 4}&10")
    header = "Category&VideoID&Quality&StartTime&EndTime"
    (root / "Annotations.txt").write_text("\n".join([header, *lines]) + "\n")
    (root / "testSet.txt").write_text("\n".join(lines[-count:]) + "\n")
    (root / "valSet.txt").write_text("\n".join(line.split("&")[1] for line in lines[-2:]))
    return root


def write_kinetics(root: Path, count: int = 20) -> Path:
    """Write Kinetics-400, whose classes are shapes, in folders of classes; the last clip has no audio."""
    rows: list[list] = [["label", "youtube_id", "time_start", "time_end", "split"]]
    for number, scene in enumerate(scenes(count)):
        label = CLASSES[scene.shape.value][2]
        name = f"{ytid(number)}_{number:06}_{number + 10:06}.mp4"
        write_clip(root / "val" / label / name, number, with_audio=number < count - 1)
        rows.append([label, ytid(number), number, number + 10, "val" if number % 2 else "validate"])
    write_csv(root / "annotations" / "val.csv", rows)
    return root


def shape_names(column: int, *, shift: int = 0) -> dict[str, str]:
    """Return the option `names`: each class's shape, or another one."""
    return {CLASSES[shape][column]: SHAPES[(n + shift) % len(SHAPES)] for n, shape in enumerate(SHAPES)}
