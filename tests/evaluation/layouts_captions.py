"""Writes small data sets of captioned media in their published layouts, with scenes of the toy world."""

import json
from pathlib import Path

from PIL import Image

from imagebind.toyworld import Scene, render_depth, render_image
from tests.evaluation.layouts import scenes, write_audio, write_csv
from tests.evaluation.layouts_clips import write_clip, ytid
from tests.evaluation.layouts_images import write_jpeg
from tests.evaluation.layouts_sensors import gray_of, write_infrared


def describe(scene: Scene, number: int, *, motion: bool = True) -> str:
    """Return one of five captions, all different; the first starts in upper case and ends in a full stop."""
    description = f"{(scene.motion if motion else scene.colour).value} {scene.shape.value}"
    forms = ("There is a {}.", "a {}", "this is a {}", "we see a {}", "a photo of a {}")
    return forms[number].format(description)


def write_audiocaps(root: Path, count: int = 16) -> Path:
    """Write AudioCaps: all first captions of clips, then all second ones; files have various names."""
    rows: list[list] = [["audiocap_id", "youtube_id", "start_time", "caption"]]
    for caption in range(5):
        for number, scene in enumerate(scenes(count)):
            rows.append([1000 * caption + number, ytid(number), 30 * number, describe(scene, caption)])
    write_csv(root / "dataset" / "test.csv", rows)
    names = ("{ytid}", "Y{ytid}", "{ytid}_{start}", "{id}")
    for number, scene in enumerate(scenes(count)):
        name = names[number % 4].format(ytid=ytid(number), start=30 * number, id=number)
        write_audio(root / "audio" / "test" / f"{name}.wav", scene)
    return root


def write_clotho(root: Path, count: int = 12) -> Path:
    """Write Clotho, whose file names have spaces and other characters."""
    rows: list[list] = [["file_name", *(f"caption_{number}" for number in range(1, 6))]]
    for number, scene in enumerate(scenes(count)):
        name = f"Sound {number}, (field) - 24_96.wav"
        write_audio(root / "evaluation" / name, scene)
        rows.append([name, *(describe(scene, caption) for caption in range(5))])
    write_csv(root / "clotho_captions_evaluation.csv", rows)
    return root


def write_msrvtt(root: Path, count: int = 20) -> Path:
    """Write MSR-VTT's split 1k-A, and its JSON of more videos with 20 captions; the last has no audio."""
    rows: list[list] = [["key", "vid_key", "video_id", "sentence"]]
    videos = [{"video_id": "video0", "split": "train", "id": 0}]
    sentences = [{"video_id": "video0", "sen_id": 0, "caption": "a train"}]
    for number, scene in enumerate(scenes(count)):
        name = f"video{7020 + number}"
        write_clip(root / "videos" / "all" / f"{name}.mp4", number, with_audio=number < count - 1)
        split = "test" if number else "validate"  # the first is only in the CSV
        videos.append({"video_id": name, "split": split, "id": 7020 + number})
        sentences += [
            {"video_id": name, "sen_id": 1 + 20 * number + each, "caption": describe(scene, each % 5)}
            for each in reversed(range(20))
        ]
        rows.append([f"ret{number}", f"msr{7020 + number}", name, describe(scene, 1)])
    content = {"info": {"year": "2016"}, "videos": videos, "sentences": sentences}
    (root / "MSRVTT_data.json").write_text(json.dumps(content))
    write_csv(root / "MSRVTT_JSFUSION_test.csv", rows)
    return root


def write_karpathy(root: Path, name: str, count: int = 16) -> Path:
    """Write Flickr30k or COCO in Karpathy's splits; one image has six captions, the last is in train."""
    images = []
    for number, scene in enumerate(scenes(count)):
        filename = f"COCO_val2014_{number:012}.jpg" if name == "coco" else f"{1000092795 + number}.jpg"
        folder = "val2014" if name == "coco" else "flickr30k-images"
        write_jpeg(root / folder / filename, render_image(scene))
        captions = [describe(scene, caption, motion=False) for caption in range(5)]
        captions += ["the sixth"] if number == 0 else []
        sentences = [{"raw": text, "sentid": n, "tokens": text.split()} for n, text in enumerate(captions)]
        split = "train" if number == count - 1 else "test"
        images.append({"filename": filename, "filepath": folder, "split": split, "sentences": sentences})
    content = {"images": images, "dataset": name}
    (root / f"dataset_{name}.json").write_text(json.dumps(content))
    return root


def write_paired(root: Path, count: int = 16) -> Path:
    """Write depth, audio, thermal and visible images of the same scenes, the last two as in LLVIP."""
    for number, scene in enumerate(scenes(count)):
        write_audio(root / "audio" / f"{number}.wav", scene)
        (root / "depth").mkdir(exist_ok=True)
        Image.fromarray(render_depth(scene)).save(root / "depth" / f"{number}.png")
        write_infrared(root / "infrared" / "test" / f"{190001 + number}.jpg", gray_of(scene))
        write_jpeg(root / "visible" / "test" / f"{190001 + number}.jpg", render_image(scene))
    return root
