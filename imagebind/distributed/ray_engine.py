"""Run many workers with Ray Data: each actor, by default one per GPU, loads the model and embeds parts.

Actors read the media and write the vectors themselves; neither passes through the process that started the
run.
"""

import logging
import math
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imagebind.distributed.inputs import InputPart
from imagebind.distributed.job import EmbedJob
from imagebind.distributed.output import Output
from imagebind.distributed.worker import Method, PartAttempt, PartDone, embed_part
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError, import_extra
from imagebind.space import Space

CONNECT_SECONDS = 10.0
ADDRESS_VARIABLE = "RAY_ADDRESS"  # read by Ray, too

EmbedderLoader = Callable[[str], Embedder]  # called with the device, "cuda" or "cpu"

logger = logging.getLogger(__name__)


class ClusterError(ImageBindError):
    """A Ray cluster cannot be reached, or lacks the requested resources."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster, and the actors to start on it.

    Args:
        address: of a running cluster, as for `ray.init`, by default the variable `RAY_ADDRESS`; ignored if
            this process is connected to a cluster. Without an address a cluster is started on this machine,
            listening on loopback, and ends with the run.
        actors: the number of actors; by default one per GPU, or without GPUs one per machine.
        gpus: whether each actor has a GPU; by default if the cluster has any.
    """

    address: str | None = None
    actors: int | None = None
    gpus: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ActorPlan:
    """The number of actors, and the cores and GPUs of each."""

    actors: int
    cpus: int
    gpus: int


@dataclass(frozen=True, kw_only=True)
class PartTask:
    """A part with all that an actor needs to embed it."""

    number: int
    part: InputPart
    output: str
    method: Method
    run: str
    load: EmbedderLoader
    plan: ActorPlan


def embed(job: EmbedJob, load: EmbedderLoader, *, cluster: Cluster | None = None) -> Iterator[PartDone]:
    """Embed the unfinished parts of a job, and yield each when it is written, in any order.

    Args:
        load: loads the embedder to "cuda" or "cpu", once in each actor. The files that it reads, such as
            weights, must exist on every machine by the same paths.

    Raises:
        ImageBindError: the embedder cannot be loaded.
        SpaceMismatchError: its vectors are in another space than those in the output.
        ClusterError: the cluster cannot be reached, or lacks GPUs or CPU cores.
        WorkerDiedError: workers died too often at a part; finished parts stay.
        OSError: the output cannot be written.
        MissingExtraError: Ray is not installed.
    """
    if job.waiting:
        cluster = cluster or Cluster()
        with connected(cluster.address) as ray:
            plan = plan_actors(
                [node["Resources"] for node in ray.nodes() if node["Alive"]], cluster, len(job.waiting)
            )
            logger.info("%d actors, each with %d cores and %d GPUs", plan.actors, plan.cpus, plan.gpus)
            yield from _run(ray, job, load, plan)
    job.output.finish()


def plan_actors(machines: Sequence[Mapping[str, float]], cluster: Cluster, parts: int) -> ActorPlan:
    """Divide machines, each a mapping with "CPU" and optionally "GPU", among actors.

    There are at most as many actors as parts, and each fits on the smallest machine.

    Raises:
        ClusterError: no machine has a core, or GPUs are requested and there are none.
    """
    machines = [machine for machine in machines if machine.get("CPU", 0) >= 1]
    with_gpus = [machine for machine in machines if machine.get("GPU", 0) >= 1]
    if not machines:
        raise ClusterError("the Ray cluster: expected a machine with a CPU core to use, got none")
    if cluster.gpus and not with_gpus:
        raise ClusterError(
            f"the Ray cluster: expected GPUs, got {len(machines)} machines without; "
            "use a cluster that has GPUs, or --device cpu"
        )
    if with_gpus and cluster.gpus is not False:
        slots = cluster.actors or int(sum(machine["GPU"] for machine in with_gpus))
        cpus = min(machine["CPU"] / machine["GPU"] for machine in with_gpus)
        return ActorPlan(actors=min(slots, parts), cpus=max(int(cpus), 1), gpus=1)
    actors = min(cluster.actors or len(machines), parts)
    actors_per_machine = math.ceil(actors / len(machines))
    cpus = min(machine["CPU"] / actors_per_machine for machine in machines)
    return ActorPlan(actors=actors, cpus=max(int(cpus), 1), gpus=0)


class PartWorker:
    """An actor of Ray Data, which receives pickled tasks and returns their pickled results."""

    def __init__(self) -> None:
        self._embedder: Embedder | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        from ray import cloudpickle

        outcomes: list[bytes] = []
        for pickled in batch["task"]:
            try:
                outcome: PartDone | Exception = self._embed(cloudpickle.loads(pickled))
            except (ImageBindError, OSError) as error:
                outcome = error  # returned, since Ray would wrap a raised error in many lines
            outcomes.append(cloudpickle.dumps(outcome))
        return {"outcome": outcomes}

    def _embed(self, task: PartTask) -> PartDone:
        output = Output(task.output)
        attempt = PartAttempt(output, task.number, run=task.run)
        if self._embedder is None:
            embedder = _load(task)
            output.claim(Space.of(embedder))
            self._embedder = embedder
        return embed_part(self._embedder, task.number, task.part, output, task.method, attempt)


def _load(task: PartTask) -> Embedder:
    try:
        embedder = task.load("cuda" if task.plan.gpus else "cpu")
    except (ImageBindError, OSError):
        raise
    except Exception as error:  # of any class, and some classes cannot be pickled
        raise ImageBindError(f"the embedder cannot be loaded on a worker: {error}") from error
    embedder.num_workers = task.plan.cpus
    return embedder


def _run(ray: Any, job: EmbedJob, load: EmbedderLoader, plan: ActorPlan) -> Iterator[PartDone]:
    from ray import cloudpickle

    tasks = [
        PartTask(
            number=number,
            part=job.parts[number],
            output=job.output.uri,
            method=job.method,
            run=job.run,
            load=load,
            plan=plan,
        )
        for number in job.waiting
    ]
    rows = [{"task": cloudpickle.dumps(task)} for task in tasks]
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        PartWorker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=plan.actors),
        num_cpus=plan.cpus,
        num_gpus=plan.gpus,
    )
    for batch in outcomes.iter_batches(batch_size=None, prefetch_batches=0):
        for content in batch["outcome"]:
            outcome = cloudpickle.loads(content)
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


@contextmanager
def connected(address: str | None, *, num_cpus: int | None = None) -> Iterator[Any]:
    """Yield Ray, connected to a cluster; a cluster that is started here is stopped at the end.

    Args:
        num_cpus: cores of a cluster that is started here, by default all.

    Raises:
        ClusterError: the cluster cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    address = address or os.environ.get(ADDRESS_VARIABLE)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send them over the network
    if address is None and "ray" not in sys.modules:
        # Despite its name, this variable makes Ray listen on loopback only.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = import_extra("ray", extra="ray", purpose="the Ray engine")
    import_extra("ray.data", extra="ray", purpose="the Ray engine")
    is_verbose = logger.isEnabledFor(logging.INFO)
    if not is_verbose:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield ray
        return
    if address:
        _check_reachable(address)
    try:
        ray.init(
            address or "local",
            log_to_driver=is_verbose,
            logging_level=logging.INFO if is_verbose else logging.ERROR,
            **({} if address else {"include_dashboard": False, "num_cpus": num_cpus}),
        )
    except Exception as error:  # Ray raises plain exceptions, too, for example after a slow start
        ray.shutdown()
        raise _unreachable(address or "a cluster on this machine", error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that an address accepts connections, since Ray would retry for minutes.

    Raises:
        ClusterError: it does not, or it is not a valid address.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:  # "auto", which Ray looks up
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"{address}: cannot be reached ({error}); pass HOST:PORT of a Ray cluster, or no address to "
        "start one here"
    )
