"""Writes the fixtures of all benchmarks below one folder, with the options that the toy world needs.

python -m tests.evaluation.all_layouts DATA
imagebind evaluate all --data-root DATA --options DATA/options.json --model tiny --report REPORT
"""

import json
import sys
from pathlib import Path
from typing import Any

from imagebind.datasets.layouts.imagenet import imagenet_classes
from imagebind.evaluation.benchmarks import benchmark_named, list_benchmarks
from tests.evaluation import layouts_captions as captions
from tests.evaluation import layouts_clips as clips
from tests.evaluation import layouts_images as images
from tests.evaluation import layouts_sensors as sensors
from tests.evaluation.layouts import write_esc50

ONE_VIEW = {
    "clips": 1,
    "crops": 1,
    "video_clips": 1,
    "audio_clips": 1,
}  # a scene lasts one clip


def write_all(root: Path) -> Path:
    """Write all fixtures; return the path of options.json, for `imagebind evaluate all --options`."""
    images.write_imagenet_world(root / "ImageNet-1K")
    images.write_places_world(root / "Places365")
    clips.write_kinetics(root / "Kinetics-400")
    sensors.write_nyu_world(root / "NYU-Depth v2")
    sensors.write_sun_world(root / "SUN RGB-D")
    clips.write_audioset(root / "AudioSet")
    clips.write_vggsound(root / "VGGSound", video=True)
    clips.write_ave(root / "AVE")
    write_esc50(root / "ESC-50")
    sensors.write_llvip_world(root / "LLVIP")
    ego4d = sensors.write_ego4d_world(root / "Ego4D")
    captions.write_audiocaps(root / "AudioCaps")
    captions.write_clotho(root / "Clotho")
    captions.write_msrvtt(root / "MSRVTT")
    captions.write_karpathy(root / "Flickr30k", "flickr30k")
    captions.write_karpathy(root / "COCO", "coco")
    captions.write_paired(root / "paired")
    options = root / "options.json"
    options.write_text(json.dumps(options_of_all(ego4d)), encoding="utf-8")
    return options


def options_of_all(ego4d: Path) -> dict[str, dict[str, Any]]:
    """Return the options by benchmark: one view per recording, short prompts, and shapes as class names."""
    classes, number_of = imagenet_classes()
    names: dict[str, dict[str, str]] = {
        "imagenet": {each.label: "nothing" for each in classes}
        | {classes[number_of[wnid]].label: shape for shape, wnid in images.WNIDS.items()},
        "places365": {name.split("/", 2)[2]: shape for shape, name in images.CATEGORIES.items()},
        "nyu_depth": sensors.NYU_NAMES,
        "sun_rgbd": sensors.SUN_NAMES,
        "llvip": {"person": "disc", "background": "bar"},
        "ego4d": sensors.SCENARIO_NAMES,
        **{
            name: {labels[column]: shape for shape, labels in clips.CLASSES.items()}
            for name, column in (("vggsound", 0), ("ave", 1), ("kinetics400", 2), ("kinetics400_sound", 2))
        },
    }
    options: dict[str, dict[str, Any]] = {}
    for name in list_benchmarks():
        known = benchmark_named(name).known_options()
        options[name] = {option: value for option, value in ONE_VIEW.items() if option in known}
        options[name] |= {"templates": "short"} if "templates" in known else {}
        options[name] |= {"names": names[name]} if name in names else {}
    options["ego4d"] |= {"imu_window": 1.9, "split_file": str(ego4d / "test.txt")}
    options["toyworld"] = options["toyworld-generation"] = {"scenes": 24}
    return options


if __name__ == "__main__":
    print(write_all(Path(sys.argv[1])))
