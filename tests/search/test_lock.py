"""The write lock: one holder at a time, named in errors, and released when its process ends."""

import subprocess
import sys

import pytest

from imagebind.search import SearchIndexError
from imagebind.search.lock import IndexBusyError, lock_path, writer_lock
from tests.search.crawled import open_to_all, unprivileged

HOLDER = """
import sys, time
from imagebind.search.lock import writer_lock
with writer_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_error_names_the_holder_of_the_lock_and_a_killed_holder_releases_it(tmp_path, holder):
    message = rf"{tmp_path}: process {holder.pid} is writing to it;"
    for _ in range(2):  # an error does not change the lock
        with pytest.raises(IndexBusyError, match=message), writer_lock(str(tmp_path)):
            pass
    holder.kill()
    holder.wait()
    with writer_lock(str(tmp_path)):
        pass


def test_the_lock_also_excludes_the_same_process(tmp_path):
    with writer_lock(str(tmp_path)), pytest.raises(IndexBusyError), writer_lock(str(tmp_path)):
        pass
    with writer_lock(str(tmp_path)):
        pass


def test_an_error_releases_the_lock_and_is_raised(tmp_path):
    with pytest.raises(ValueError, match="mine"), writer_lock(str(tmp_path)):
        raise ValueError("mine")
    with writer_lock(str(tmp_path)):
        pass


def test_an_index_in_a_store_has_its_lock_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one, two = "s3://bucket/one.lance", "s3://bucket/two.lance"
    assert lock_path(one) != lock_path(two) and lock_path(one).is_relative_to(tmp_path / "cache")
    with (
        writer_lock(one),
        writer_lock(two),
        pytest.raises(IndexBusyError, match=r"one\.lance"),
        writer_lock(one),
    ):
        pass


def test_a_folder_that_cannot_be_written_to_is_named():
    with open_to_all() as folder:
        folder.chmod(0o555)
        message = rf"{folder}: cannot be written to"
        with unprivileged(), pytest.raises(SearchIndexError, match=message), writer_lock(str(folder)):
            pass
