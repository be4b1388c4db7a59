"""The device to compute on."""

from typing import Any

import torch

CPU = "cpu"


def best_device() -> str:
    """Return the type of the available accelerator, as accelerate chooses it, or "cpu"."""
    if hasattr(torch, "accelerator"):  # since torch 2.6
        found = torch.accelerator.current_accelerator(check_available=True)
        return CPU if found is None else found.type
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else CPU


def module_in_use(kind: str) -> Any:
    """torch's module of an accelerator by its kind, such as `torch.cuda`; None until something is on it."""
    if kind == CPU:
        return None
    module = getattr(torch, kind)  # as `torch.get_device_module`, which not all versions have
    is_initialized = getattr(module, "is_initialized", None)  # MPS has none, and is always ready
    return module if is_initialized is None or is_initialized() else None
