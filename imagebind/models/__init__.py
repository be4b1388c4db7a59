"""The model. Modules with the original's names are also attributes, imported at first access."""

from importlib import import_module
from types import ModuleType

_MODULES = ("helpers", "imagebind_model", "multimodal_preprocessors", "transformer")


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
