"""Jobs without a process each, and compiling that is not: what is tested is the rows, never the speed."""

import pytest

from imagebind.benchmark import crawl, loading, text, training, video
from imagebind.benchmark.jobs import JOBS
from imagebind.benchmark.timing import peak_bytes
from imagebind.models.imagebind_model import ImageBindModel


@pytest.fixture
def quick(monkeypatch):
    """Makes a section take a second or two."""

    def in_this_process(job, *arguments, environment=None):
        return JOBS[job](*map(str, arguments)) | {"peak": peak_bytes()}

    for section in (crawl, loading, text, training, video):
        monkeypatch.setattr(section, "in_fresh_process", in_this_process)
    monkeypatch.setattr(ImageBindModel, "compile", lambda self: None)
