"""Modules at their paths of version 1.0, for code that imports them; each has the names of the new module."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Below `imagebind`: old folder -> new folder, and the modules that moved there under their names.
_FOLDERS = {
    ("transforms", "media"): """
        arrays audio_chain audio_file audio_items audio_limits audio_magic audio_packets audio_stream
        clips decoders deep_images detect flir image_file imu_clock imu_columns imu_csv imu_form imu_join
        imu_layouts imu_names imu_parts imu_recording imu_table imu_text imu_units palettes video_clock
        video_file video_joins video_packets video_pixels video_scan video_stream webp
    """,
    ("search", "media"): "discover",
    ("search", "intake"): "mapping",
    ("search", "search.crawl"): "examine writer",
    ("search.engines", "distributed"): "inputs job output ray_engine shards to_index worker",
    ("training", "datasets"): "pairs manifest shards tar_index layouts",
    ("training", "training.data"): "mixture loading augment colours crops windows",
    ("training.world", "toyworld"): """
        captions files imu motion nearest reading render rendered scene sensors shapes surface view
    """,
    ("training.world", "training.tiny"): "pairs",
}
_MODULES = {
    **{f"{old}.{name}": f"{new}.{name}" for (old, new), names in _FOLDERS.items() for name in names.split()},
    "checkpoint": "checkpoints.loading",
    "download": "checkpoints.download",
    "factory": "checkpoints.factory",
    "weights": "checkpoints.formats",
    "weights_file": "checkpoints.tensors",
    "transfer": "io.http",
    "uri": "io.uri",
    "search.calibration": "calibration",
    "search.approximate": "search.nearest",
    "search.crawl_report": "search.crawl.report",
    "search.engines": "distributed",
    "search.engines.crawl_ahead": "distributed.crawl",
    "search.engines.methods": "distributed.worker",
    "search.engines.storage": "io.storage",
    "search.job": "search.crawl.embed",
    "search.known": "search.crawl.indexed_files",
    "search.many": "search.store",
    "search.query": "query",
    "search.space": "space",
    "search.tape": "media.sequential_audio",
    "search.windows": "windows",
    "training.device": "device",
    "training.probe": "evaluation.probe",
    "training.schedule": "training.optimizer",
    "training.waves": "training.tiny.waves",
    "training.world": "toyworld",
    "training.world.figures": "evaluation.toyworld",
    "training.world.sound": "toyworld.audio",
    "transforms.intake": "intake.requests",
    "transforms.items": "intake.items",
    "transforms.source": "io.source",
}
_RENAMED = {  # old module -> its names that changed since: {old: new}
    "search.approximate": {"build": "build_approximate", "is_worthwhile": "is_approximate_worthwhile"},
    "search.engines.worker": {"Trial": "PartAttempt", "Worker": "PartWorker"},
}
_PACKAGES = ("search.engines", "training.world")  # whose modules moved too


class MovedModules(MetaPathFinder, Loader):
    """Finds the modules of version 1.0 that have moved since, and warns that their paths are deprecated."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module at its old path; None for every other module."""
        package, _, name = fullname.partition(".")
        if package != "imagebind" or name not in _MODULES:
            return None
        return ModuleSpec(fullname, self, is_package=name in _PACKAGES)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a module whose attributes are those of the new one."""
        old = spec.name.partition(".")[2]
        new = import_module(f"imagebind.{_MODULES[old]}")
        renamed = _RENAMED.get(old, {})
        warnings.warn(f"{spec.name} is now {new.__name__}", DeprecationWarning, stacklevel=2)

        def attribute(name: str) -> Any:
            if name.startswith("__"):  # such as __path__, by which its modules would be found a second time
                raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")
            return getattr(new, renamed.get(name, name))

        module = ModuleType(spec.name, new.__doc__)
        module.__getattr__ = attribute  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the new module has been executed."""


def install() -> None:
    """Add the finder of moved modules after all other finders; a second call does nothing."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
