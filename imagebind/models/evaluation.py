"""Keep a model in evaluation mode for a limited time, also if several threads use it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn


class _ModeOfModel:
    """The number of open contexts of a model, and the modules that were in training mode before them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.contexts = 0
        self.training: list[nn.Module] = []


_MODES: WeakKeyDictionary[nn.Module, _ModeOfModel] = WeakKeyDictionary()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode until all its contexts, of any thread, end; then restore the modes.

    Another thread must not train the model meanwhile.
    """
    mode = _MODES.setdefault(model, _ModeOfModel())
    with mode.lock:
        if mode.contexts == 0:
            mode.training = [module for module in model.modules() if module.training]
            if mode.training:  # eval() takes time even if it changes nothing
                model.eval()
        mode.contexts += 1
    try:
        yield
    finally:
        with mode.lock:
            mode.contexts -= 1
            if mode.contexts == 0:
                for module in mode.training:  # not all modules: some may be frozen in evaluation mode
                    module.training = True
                mode.training = []
