"""Many workers by Ray Data: an actor holds the model, one a GPU, and does part after part.

Media go from where they are to the actor that embeds them, and vectors from there into the output: neither
passes through the process that started the run.
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

from imagebind.distributed.inputs import Part
from imagebind.distributed.job import Job
from imagebind.distributed.methods import Method
from imagebind.distributed.output import Output
from imagebind.distributed.worker import PartDone, Trial, embed_part
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError, import_extra
from imagebind.space import Space

ANSWER_SECONDS = 10.0
ADDRESS = "RAY_ADDRESS"  # Ray's own variable

Load = Callable[[str], Embedder]  # to the device "cuda" or "cpu"

logger = logging.getLogger(__name__)


class ClusterError(ImageBindError):
    """A Ray cluster that cannot be reached, or lacks what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What to run on.

    Args:
        address: of a running cluster, as `ray.init` takes it. By default the one that this process is
            connected to, or that the variable `RAY_ADDRESS` names; else one is started on this machine,
            listening on loopback, and ends with the run.
        actors: how many hold the model; by default one a GPU, or where there are none one a machine.
        gpus: whether each is to have a GPU; by default where there are any.
    """

    address: str | None = None
    actors: int | None = None
    gpus: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many actors there are, and the cores and GPUs that each has."""

    actors: int
    cpus: int
    gpus: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that an actor has to know to do a part."""

    number: int
    part: Part
    output: str
    method: Method
    run: str
    load: Load
    share: Share


def embed(job: Job, load: Load, *, cluster: Cluster | None = None) -> Iterator[PartDone]:
    """Do what there is to do of a job; each part comes out when it is written, in no order.

    Args:
        load: makes the embedder on "cuda" or "cpu", once in each actor. What it needs, as a file of weights,
            has to be on every machine, by the same path.

    Raises:
        ImageBindError: the embedder cannot be had.
        SpaceMismatchError: its vectors are of another space than those that are there.
        ClusterError: no cluster is there, or not one with GPUs.
        WorkerDiedError: workers die whatever they do; parts that are done stay.
        OSError: the output cannot be written.
        MissingExtraError: Ray is not installed.
    """
    if job.waiting:
        cluster = cluster or Cluster()
        with connected(cluster.address) as ray:
            share = share_out(
                [node["Resources"] for node in ray.nodes() if node["Alive"]], cluster, len(job.waiting)
            )
            logger.info("%d actors, each of %d cores and %d GPUs", share.actors, share.cpus, share.gpus)
            yield from _run(ray, job, load, share)
    job.output.finish()


def share_out(machines: Sequence[Mapping[str, float]], cluster: Cluster, parts: int) -> Share:
    """Divide machines, each a mapping with "CPU" and perhaps "GPU", among actors.

    No more of them than there are parts, and none larger than the smallest machine has room for.

    Raises:
        ClusterError: no machine has a core, or GPUs are wanted and there are none.
    """
    machines = [machine for machine in machines if machine.get("CPU", 0) >= 1]
    with_gpus = [machine for machine in machines if machine.get("GPU", 0) >= 1]
    if not machines or (cluster.gpus and not with_gpus):
        raise ClusterError(
            f"the Ray cluster has {len(machines)} machines with cores to use and {len(with_gpus)} with GPUs; "
            "use a cluster that has GPUs, or --device cpu"
        )
    if with_gpus and cluster.gpus is not False:
        slots = cluster.actors or int(sum(machine["GPU"] for machine in with_gpus))
        cpus = min(machine["CPU"] / machine["GPU"] for machine in with_gpus)
        return Share(actors=min(slots, parts), cpus=max(int(cpus), 1), gpus=1)
    actors = min(cluster.actors or len(machines), parts)
    a_machine = math.ceil(actors / len(machines))
    cpus = min(machine["CPU"] / a_machine for machine in machines)
    return Share(actors=actors, cpus=max(int(cpus), 1), gpus=0)


class Worker:
    """An actor of Ray Data: parts in, what became of them out, both pickled."""

    def __init__(self) -> None:
        self._embedder: Embedder | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        from ray import cloudpickle

        outcomes: list[bytes] = []
        for text in batch["task"]:
            try:
                outcome: PartDone | Exception = self._do(cloudpickle.loads(text))
            except (ImageBindError, OSError) as error:
                outcome = error  # an actor that raised would be Ray's error, of many lines
            outcomes.append(cloudpickle.dumps(outcome))
        return {"outcome": outcomes}

    def _do(self, task: Task) -> PartDone:
        output = Output(task.output)
        trial = Trial(output, task.number, run=task.run)
        if self._embedder is None:
            embedder = _load(task)
            output.claim(Space.of(embedder))
            self._embedder = embedder
        return embed_part(self._embedder, task.number, task.part, output, task.method, trial)


def _load(task: Task) -> Embedder:
    try:
        embedder = task.load("cuda" if task.share.gpus else "cpu")
    except (ImageBindError, OSError):
        raise
    except Exception as error:  # whatever a machine lacks; some kinds cannot be pickled
        raise ImageBindError(f"the embedder cannot be had on a worker: {error}") from error
    embedder.num_workers = task.share.cpus
    return embedder


def _run(ray: Any, job: Job, load: Load, share: Share) -> Iterator[PartDone]:
    from ray import cloudpickle

    tasks = [
        Task(
            number=number,
            part=job.parts[number],
            output=job.output.uri,
            method=job.method,
            run=job.run,
            load=load,
            share=share,
        )
        for number in job.waiting
    ]
    rows = [{"task": cloudpickle.dumps(task)} for task in tasks]
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=share.actors),
        num_cpus=share.cpus,
        num_gpus=share.gpus,
    )
    for batch in outcomes.iter_batches(batch_size=None, prefetch_batches=0):
        for content in batch["outcome"]:
            outcome = cloudpickle.loads(content)
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


@contextmanager
def connected(address: str | None, *, num_cpus: int | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster; one that is started for this ends with it.

    Args:
        num_cpus: of a cluster that is started, by default as many cores as there are.

    Raises:
        ClusterError: it cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    address = address or os.environ.get(ADDRESS)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and "ray" not in sys.modules:
        # By this name, for systems where it is usual, Ray knows that nobody is to connect from elsewhere.
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
        _knock(address)
    try:
        ray.init(
            address or "local",
            log_to_driver=is_verbose,
            logging_level=logging.INFO if is_verbose else logging.ERROR,
            **({} if address else {"include_dashboard": False, "num_cpus": num_cpus}),
        )
    except Exception as error:  # Ray raises plain ones too, as where a machine takes too long to start
        ray.shutdown()
        raise _not_there(address or "a cluster on this machine", error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See whether anybody is there; Ray would try for minutes.

    Raises:
        ClusterError: nobody is, or it is no address.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:  # "auto", which Ray looks up
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _not_there(address, error) from error


def _not_there(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"{address}: cannot be reached ({error}); expected HOST:PORT of a Ray cluster, or none to "
        "start one here"
    )
