"""The device to compute on."""

from typing import Any

import torch

CPU = "cpu"


def best_device() -> str:
    """Return the device type of the available accelerator, or cpu."""
    if hasattr(torch, "accelerator"):  # since torch 2.6
        found = torch.accelerator.current_accelerator(check_available=True)
        return CPU if found is None else found.type
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else CPU


def initialised_module(device_type: str) -> Any:
    """Return an accelerator's module, such as `torch.cuda`; None for the CPU or if it is not initialised."""
    if device_type == CPU:
        return None
    module = getattr(torch, device_type)  # `torch.get_device_module` is missing in older versions
    is_initialized = getattr(module, "is_initialized", None)  # MPS has none and needs no initialisation
    return module if is_initialized is None or is_initialized() else None
