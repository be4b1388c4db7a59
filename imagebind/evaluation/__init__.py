"""Evaluation by published benchmarks: `evaluate("esc50", embedder, data="ESC-50")` returns a `Result`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagebind.evaluation.benchmark import Benchmark, Task
    from imagebind.evaluation.benchmarks import list_benchmarks
    from imagebind.evaluation.result import Choice, EvaluationError, Figure, Result
    from imagebind.evaluation.run import evaluate

_MODULE_OF_NAME = {
    "Benchmark": "imagebind.evaluation.benchmark",
    "Choice": "imagebind.evaluation.result",
    "EvaluationError": "imagebind.evaluation.result",
    "Figure": "imagebind.evaluation.result",
    "Result": "imagebind.evaluation.result",
    "Task": "imagebind.evaluation.benchmark",
    "evaluate": "imagebind.evaluation.run",
    "list_benchmarks": "imagebind.evaluation.benchmarks",
}

__all__ = [
    "Benchmark",
    "Choice",
    "EvaluationError",
    "Figure",
    "Result",
    "Task",
    "evaluate",
    "list_benchmarks",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULE_OF_NAME[name]), name)
