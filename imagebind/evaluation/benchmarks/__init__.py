"""The benchmarks by name; related ones share a file."""

from importlib import import_module

from imagebind.evaluation.benchmark import Benchmark

# For each benchmark, the module whose `BENCHMARKS` defines it.
MODULES = {
    "imagenet": "imagenet",
    "places365": "places365",
    "kinetics400": "kinetics400",
    "nyu_depth": "nyu_depth",
    "sun_rgbd": "sun_rgbd",
    "audioset": "audioset",
    "vggsound": "vggsound",
    "esc50": "esc50",
    "llvip": "llvip",
    "ego4d": "ego4d",
    "audiocaps": "audiocaps",
    "clotho": "clotho",
    "msrvtt_video": "msrvtt",
    "msrvtt_audio": "msrvtt",
    "msrvtt_audio_video": "msrvtt",
    "flickr30k": "karpathy",
    "coco": "karpathy",
    "ave": "ave",
    "kinetics400_sound": "kinetics400",
    "sun_rgbd_pairs": "paired",
    "llvip_pairs": "paired",
    "vggsound_pairs": "paired",
    "ave_pairs": "paired",
    "paired": "paired",
    "toyworld": "toyworld",
    "toyworld-detection": "toyworld_detection",
    "toyworld-generation": "toyworld_generation",
    "toyworld-moments": "toyworld_moments",
}


def list_benchmarks() -> list[str]:
    """Return the names of all benchmarks."""
    return list(MODULES)


def benchmark_named(name: str) -> Benchmark:
    """Return a benchmark by name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in MODULES:
        raise ValueError(f"benchmark: expected one of {', '.join(MODULES)}, got {name!r}")
    module = import_module(f"{__name__}.{MODULES[name]}")
    benchmarks: tuple[Benchmark, ...] = module.BENCHMARKS
    return next(each for each in benchmarks if each.name == name)
