"""Run a function on several ranks with gloo on the loopback device, for at most two minutes."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMEOUT_SECONDS = 120.0  # importing torch and the training takes 10 s per process, or 30 s on a busy machine


def on_ranks(work: Callable[..., Any], *arguments: Any, ranks: int = 2) -> list[Any]:
    """Return the results of `work(rank, *arguments)` on all ranks; `work` is a module-level function."""
    with tempfile.TemporaryDirectory() as folder:
        processes = mp.start_processes(
            _rank, args=(work, arguments, ranks, folder), nprocs=ranks, join=False, start_method="spawn"
        )
        try:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while not processes.join(timeout=1.0):  # raises the error of a rank
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{work.__name__} took longer than {TIMEOUT_SECONDS:.0f} s on {ranks} ranks"
                    )
        finally:
            for process in processes.processes:
                if process.is_alive():
                    process.kill()
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def _rank(rank: int, work: Callable[..., Any], arguments: tuple[Any, ...], ranks: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=TIMEOUT_SECONDS / 2),
    )
    try:
        torch.save(work(rank, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
    # DistributedDataParallel's reducer keeps gloo's threads alive after the group is destroyed. A thread that
    # still holds tensors of a backward pass would abort the process if the interpreter shut down normally.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
