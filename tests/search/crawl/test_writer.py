"""The writer's commits: their content and order."""

from imagebind.search.crawl.writer import Writer
from tests.search.made import make_index, row


def test_a_new_file_at_the_former_path_of_a_moved_file_is_not_moved(tmp_path):
    index = make_index(tmp_path / "db", [row("/b", 1)])
    (old,) = index.sample(1)
    new = row("/b", 0, 1)
    done = []
    writer = Writer(index)
    writer.move("/b", "/a", mtime_ns=5, on_commit=lambda: done.append("moved"))
    writer.put("/b", [new], is_new=True, on_commit=lambda: done.append("put"))
    assert done == [] and {*index.files()} == {"/b"}
    writer.flush()
    assert done == ["moved", "put"]
    assert (index.get(old.id).path, index.get(new.id).path) == ("/a", "/b")
    writer.flush()
    assert len(index) == 2
