"""The cache of embeddings: files that cannot be used."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from imagebind.evaluation import EvaluationError
from imagebind.evaluation import cache as caching
from imagebind.evaluation.cache import DATABASE_NAME, EmbeddingCache

UNUSABLE = rf"{DATABASE_NAME}: expected a database of embeddings, got one that cannot be used \(.+\); "


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / DATABASE_NAME).mkdir(parents=True)
    for name in ("file", "folder"):
        with pytest.raises(EvaluationError, match=f"{name}/{UNUSABLE}use another folder"):
            EmbeddingCache(tmp_path / name)


def test_a_damaged_database_is_named_and_may_be_deleted(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"damaged" * 1000)
    with pytest.raises(EvaluationError, match=f"{UNUSABLE}delete it, or use another folder"):
        EmbeddingCache(tmp_path)


def test_a_locked_database_is_named_when_vectors_are_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "WRITE_WAIT_SECONDS", 0)
    with EmbeddingCache(tmp_path) as cache, closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EvaluationError, match=f"{UNUSABLE}use another folder"):
            cache.store([(b"key", np.zeros(2))])
        other.rollback()
        cache.store([(b"key", np.zeros(2))])
        assert cache.vectors([b"key", b"other"]).keys() == {b"key"}
