"""Runs jobs in this process and without compilation: the tests check the rows, not the speed."""

import pytest

from imagebind.benchmark import crawl, loading, text, training, video
from imagebind.benchmark.jobs import JOBS
from imagebind.benchmark.timing import peak_bytes
from imagebind.models.imagebind_model import ImageBindModel


@pytest.fixture
def quick(monkeypatch):
    """Make a section take only a second or two."""

    def in_this_process(job, *arguments, environment=None):
        return JOBS[job](*map(str, arguments)) | {"peak": peak_bytes()}

    for section in (crawl, loading, text, training, video):
        monkeypatch.setattr(section, "in_fresh_process", in_this_process)
    monkeypatch.setattr(ImageBindModel, "compile", lambda self: None)
