"""The Ray engine on a small cluster: the same rows as in one process, and resuming after a kill."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from imagebind.checkpoints.factory import load_model
from imagebind.distributed.job import EmbedJob, prepare
from imagebind.distributed.output import Output
from imagebind.distributed.ray_engine import (
    ActorPlan,
    Cluster,
    ClusterError,
    PartTask,
    PartWorker,
    connected,
    embed,
    plan_actors,
)
from imagebind.distributed.worker import PartDone
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.io.storage import Storage
from imagebind.search import Index, Space, SpaceMismatchError
from tests.cli.runner import Runner
from tests.distributed.drivers import DEADLY, STUCK, load_deadly, load_stuck, prepared
from tests.distributed.made import rows_in
from tests.packed import event_files, event_pack

DEADLINE_SECONDS = 300  # the test takes 10 s on an idle machine


@pytest.fixture
def imagebind(monkeypatch, capsys) -> Runner:
    return Runner(monkeypatch, capsys)


def test_an_unreachable_cluster_raises_an_error_with_its_address(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1: cannot be reached"), connected("127.0.0.1:1"):
        pass


def test_each_actor_has_one_gpu_and_fits_on_one_machine():
    gpus = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 12.0, "GPU": 4.0}, {"CPU": 4.0}]
    assert plan_actors(gpus, Cluster(), 100) == ActorPlan(actors=12, cpus=2, gpus=1)
    assert plan_actors(gpus, Cluster(actors=3), 100) == ActorPlan(actors=3, cpus=2, gpus=1)
    assert plan_actors(gpus, Cluster(gpus=False), 100) == ActorPlan(actors=3, cpus=4, gpus=0)
    assert plan_actors([{"CPU": 8.0}, {"CPU": 4.0}, {}], Cluster(), 100) == ActorPlan(
        actors=2, cpus=4, gpus=0
    )
    assert plan_actors([{"CPU": 8.0}], Cluster(actors=3), 100) == ActorPlan(actors=3, cpus=2, gpus=0)
    assert plan_actors([{"CPU": 2.0}], Cluster(actors=9), 1) == ActorPlan(actors=1, cpus=2, gpus=0)
    with pytest.raises(ClusterError, match="expected GPUs, got 1 machines without"):
        plan_actors([{"CPU": 8.0}], Cluster(gpus=True), 1)


@pytest.mark.huge
def test_the_command_with_ray_gives_the_same_rows_as_without(
    imagebind, ray_address, tmp_path, image_file, audio_file, video_file, deep_grey_file, small_weights
):
    media = tmp_path / "media"
    media.mkdir()
    for file in (image_file, audio_file, video_file, deep_grey_file):
        shutil.copy(file, media)
    (media / os.fsdecode(b"caf\xe9.txt")).write_text("a red star")
    (media / "cut.jpg").write_bytes(image_file.read_bytes()[:2000])
    (media / "paper.pdf").write_bytes(b"%PDF-1.7 ")
    here = imagebind("embed", media, "-o", tmp_path / "v.parquet", "-w", "tiny")
    assert "4 of 6 files" in here.err
    out = media / "vectors"
    arguments = [media, "-o", out, "-w", "tiny", "--engine", "ray", "--partitions", 3, "--actors", 2]
    run = imagebind("embed", *arguments)
    assert run.code == 1 and "4 of 6 items embedded" in run.err and "3 parts" in run.err
    assert "cut.jpg" in run.err and "Traceback" not in run.err
    for command in (here, run):
        assert "1 file left out (not media, or part of a recording): 1 .pdf" in command.err
    expected = {row["path"]: row for row in parquet.read_table(tmp_path / "v.parquet").to_pylist()}
    rows = rows_in(out)
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        np.testing.assert_allclose(row.pop("vector"), expected[name].pop("vector"), atol=1e-5)
        assert row == expected[name]
    assert parquet.read_table(out).schema == parquet.read_schema(tmp_path / "v.parquet")
    failed = {failure.path: failure.kind for failure in Output(out).failures()}
    assert failed == {
        str(media / "cut.jpg"): "UnreadableMediaError",
        str(media / deep_grey_file.name): "AmbiguousMediaError",
    }
    again = imagebind("embed", *arguments)
    assert again.code == 1 and "3 of them from an earlier run" in again.err
    other = imagebind("embed", *arguments, "-w", small_weights)
    assert other.code == 1 and f"expected weights = tiny, as in this output, got {small_weights}" in other.err


@pytest.mark.huge
def test_the_index_command_gives_the_same_rows_with_ray_and_a_second_run_indexes_nothing(
    imagebind, ray_address, tmp_path, image_file, audio_file, deep_grey_file
):
    media = tmp_path / "media"
    media.mkdir()
    for file in (image_file, audio_file, deep_grey_file):
        shutil.copy(file, media)
    (media / "star.txt").write_text("a red star")
    (media / "cut.jpg").write_bytes(image_file.read_bytes()[:2000])
    event_files(media / "events")
    arguments = [media, "-w", "tiny", "--map", "*.png=depth:kinect_v1"]
    arguments += ["--pack", event_pack(tmp_path / "event_camera"), "--map", "events/*.npy=event"]
    rows = []
    for name, engine in (("here", []), ("ray", ["--engine", "ray", "--actors", 2, "--partitions", 3])):
        run = imagebind("index", *arguments, "--db", tmp_path / name, *engine)
        assert run.code == 1 and "cut.jpg" in run.err and "Traceback" not in run.err
        hits = Index.open(tmp_path / name).sample(99)
        rows.append({(hit.path, hit.start, hit.kind, hit.content_hash): hit.vector for hit in hits})
        assert "added" in run.err and "unchanged" not in run.err
    again = imagebind("index", *arguments, "--db", tmp_path / "ray", "--engine", "ray", "--actors", 2)
    assert "unchanged" in again.err and "added" not in again.err
    here, ray = rows
    assert here.keys() == ray.keys() and [kind for _, _, kind, _ in here].count("event") == 3
    for row, vector in here.items():
        np.testing.assert_allclose(ray[row], vector, atol=1e-5)


def load_small(folder: Path, device: str) -> Embedder:
    return Embedder(load_model(folder, device=device))


def outcome(job: EmbedJob, load) -> PartDone | Exception:
    """Return the result of a worker for the first part."""
    task = PartTask(
        number=0,
        part=job.parts[0],
        output=job.output.uri,
        method=job.method,
        run=job.run,
        load=load,
        plan=ActorPlan(actors=1, cpus=1, gpus=0),
    )
    return pickle.loads(PartWorker()({"task": [pickle.dumps(task)]})["outcome"][0])


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_inputs_and_output_may_be_uris(tmp_path, small_weights, memory, scheme):
    base = f"file://{tmp_path}" if scheme == "file" else "memory://bucket"
    Storage(f"{base}/media").write("star.txt", b"a red star")
    job = prepare([f"{base}/media"], f"{base}/out")
    done = outcome(job, partial(load_small, small_weights))
    assert isinstance(done, PartDone) and done.embedded == 1
    again = prepare([f"{base}/media"], f"{base}/out")
    assert again.waiting == [] and again.output.read(0)["path"].to_pylist() == [f"{base}/media/star.txt"]
    again.output.remove()
    assert again.output.manifest() is None


def test_workers_with_other_weights_or_none_write_nothing_and_say_why(tmp_path, small_weights, tiny):
    (tmp_path / "star.txt").write_text("a red star")
    job = prepare([str(tmp_path / "star.txt")], tmp_path / "out")
    load = partial(load_small, small_weights)
    missing = outcome(job, partial(load_small, tmp_path / "none"))
    assert isinstance(missing, CheckpointError) and "none" in str(missing)
    job.output.claim(Space.of(tiny))
    other = outcome(job, load)
    assert isinstance(other, SpaceMismatchError)
    assert "imagebind_tiny" in str(other) and "custom" in str(other)
    assert job.output.done() == []


@pytest.mark.huge
def test_a_killed_run_resumes_with_the_missing_parts(ray_address, tmp_path, tiny):
    media, out = tmp_path / "media", tmp_path / "out"
    media.mkdir()
    texts = ["a red star", "a blue circle", STUCK, "a green square"]
    for number, text in enumerate(texts):
        (media / f"{number}.txt").write_text(text)
    driver = Path(__file__).with_name("drivers.py")
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, driver, media, out, ray_address],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + DEADLINE_SECONDS
    while Output(out).done() != [0, 1] and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    job = prepared(media, out)
    assert job.waiting == [2, 3]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    (media / "go").touch()
    done = list(embed(job, partial(load_stuck, media), cluster=Cluster(actors=1)))
    assert sorted(part.number for part in done) == [2, 3]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = rows_in(out)
    for number, vector in enumerate(tiny.encode(texts)):
        np.testing.assert_allclose(rows[str(media / f"{number}.txt")]["vector"], vector, atol=1e-5)
    assert not list(out.rglob("*.tmp")) and not list((out / "_begun").iterdir())


@pytest.mark.huge
def test_an_item_that_kills_its_worker_fails_and_all_others_are_embedded(ray_address, tmp_path):
    for number, text in enumerate(["a red star", DEADLY, "a green square"]):
        (tmp_path / f"{number}.txt").write_text(text)
    job = prepared(tmp_path, tmp_path / "out", partitions=1)
    (part,) = embed(job, load_deadly, cluster=Cluster(actors=1))
    assert (part.embedded, part.failed) == (2, 1)
    assert part.failures[0].path == str(tmp_path / "1.txt") and "workers died" in part.failures[0].error
