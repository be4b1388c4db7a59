"""An output: the same run resumes it, and other runs are refused."""

from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from imagebind.distributed.job import prepare
from imagebind.distributed.output import Output, OutputMismatchError
from imagebind.distributed.worker import EmbedItems
from imagebind.failures import Failure
from imagebind.io.storage import Storage
from imagebind.search import Space, SpaceMismatchError

FILES = ["a.txt", "b.txt", "c.txt"]
TOKEN = "0123456789abcdef" * 2  # in the name of an incomplete file


def test_other_inputs_are_refused_with_both_named(tmp_path):
    prepare(FILES, tmp_path / "out", partitions=3)
    with pytest.raises(OutputMismatchError, match=r"expected.*part 1 is b\.txt.*got.*part 1 is d\.txt"):
        prepare(["a.txt", "d.txt", "c.txt"], tmp_path / "out")
    with pytest.raises(OutputMismatchError, match=r"expected 3 parts.*got 2 parts and no part 2"):
        prepare(FILES[:2], tmp_path / "out", partitions=2)


def test_other_options_are_refused_with_both_named(tmp_path):
    prepare(FILES, tmp_path / "out")
    with pytest.raises(OutputMismatchError, match="expected clips = False, as in this output, got True"):
        prepare(FILES, tmp_path / "out", method=EmbedItems(clips=True))
    prepare(FILES, tmp_path / "out", method=EmbedItems(batch_size=7))  # no row depends on it


def test_the_same_paths_below_another_folder_are_other_inputs(tmp_path):
    prepare(FILES, tmp_path / "out", base="/one")
    with pytest.raises(OutputMismatchError):
        prepare(FILES, tmp_path / "out", base="/two")


def test_a_resumed_run_keeps_its_number_of_parts(tmp_path):
    assert len(prepare(FILES, tmp_path / "out", partitions=3).parts) == 3
    assert len(prepare(FILES, tmp_path / "out").parts) == 3


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OutputMismatchError, match=r"holiday\.jpg"):
        prepare(FILES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("content", [b"{", b'{"base": "/"}', b"\xff"])
def test_a_damaged_manifest_and_space_are_named(tmp_path, content, tiny):
    for name in ("_manifest.json", "_space.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(content)
    with pytest.raises(OutputMismatchError, match=r"expected the _manifest\.json .*, got a damaged file"):
        prepare(FILES, tmp_path / "_manifest.json")
    with pytest.raises(OutputMismatchError, match=r"expected the _space\.json .*, got a damaged file"):
        Output(tmp_path / "_space.json").claim(Space.of(tiny))


def test_written_parts_are_finished(tmp_path):
    job = prepare(FILES, tmp_path / "out", partitions=3)
    failure = Failure(path="b.txt", error="bad", kind="MediaError")
    job.output.write(1, b"rows", [failure])
    again = prepare(FILES, tmp_path / "out")
    assert again.waiting == [0, 2]
    assert list(again.output.failures()) == [failure]
    again.output.write(1, b"rows", [])  # the file was repaired
    assert not again.output.has_failures()


def test_a_file_gets_its_name_only_when_complete(tmp_path):
    storage = Storage(tmp_path / "out")
    storage.write("there", b"old")
    (tmp_path / "out" / f".there.{TOKEN}.tmp").write_bytes(b"half of it")
    with pytest.raises(TypeError):
        storage.write("there", "no bytes")  # type: ignore[arg-type]
    assert storage.read("there") == b"old" and storage.names() == {"there"}
    storage.sweep()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["there"]


def test_a_failed_write_leaves_no_incomplete_file(tmp_path):
    storage = Storage(tmp_path)
    with pytest.raises(TypeError):
        storage.write("there", "no bytes")  # type: ignore[arg-type]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        storage.write("folder", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_incomplete_files_of_a_killed_run_are_ignored_and_deleted(tmp_path):
    for folder, name in ((tmp_path, "_manifest.json"), (tmp_path / "_errors", "part-000000.jsonl")):
        folder.mkdir(exist_ok=True)
        (folder / f".{name}.{TOKEN}.tmp").write_text('{"half')
    job = prepare(FILES, tmp_path)
    assert not job.output.has_failures() and not list(job.output.failures())
    job.output.finish()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_foreign_temporary_file_is_refused_and_kept(tmp_path):
    (tmp_path / ".holiday.tmp").write_bytes(b"x")
    with pytest.raises(OutputMismatchError, match=r"\.holiday\.tmp"):
        prepare(FILES, tmp_path)
    Output(tmp_path).finish()
    assert (tmp_path / ".holiday.tmp").exists()


@pytest.mark.parametrize(
    "first_kept", ["part-000001.parquet", "part-000002.jsonl", "_space.json", "_manifest.json"]
)
def test_a_killed_removal_keeps_the_manifest_and_can_be_repeated(tmp_path, monkeypatch, tiny, first_kept):
    out = tmp_path / "out"
    job = prepare(FILES, out, partitions=3)
    job.output.claim(Space.of(tiny))
    for number in range(3):
        job.output.write(number, b"rows", [Failure(path=FILES[number], error="bad", kind="MediaError")])
    with monkeypatch.context() as patch:
        interrupt_removal(patch, first_kept)
        with pytest.raises(KeyboardInterrupt):
            Output(out).remove()
    assert (out / "_manifest.json").exists()
    prepare(FILES, out).output.remove()
    assert not out.exists()


def interrupt_removal(patch: pytest.MonkeyPatch, name: str) -> None:
    """Make the removal of files, which proceeds by name, raise KeyboardInterrupt before one of them."""

    class InterruptedFileSystem(LocalFileSystem):
        def rm_file(self, path: str) -> None:
            if Path(path).name == name:
                raise KeyboardInterrupt
            super().rm_file(path)

        def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
            for root in map(Path, path if isinstance(path, list) else [path]):
                for file in sorted(file for file in [root, *root.rglob("*")] if file.is_file()):
                    self.rm_file(str(file))
                if root.is_dir():
                    super().rm(str(root), recursive)

    patch.setattr("imagebind.io.storage.file_system", lambda uri: (InterruptedFileSystem(), str(uri)))


def test_vectors_of_another_space_are_refused_with_both_named(tmp_path, tiny):
    output = Output(tmp_path)
    output.claim(Space.of(tiny))
    output.claim(Space.of(tiny))
    other = Space(model="other", embed_dim=tiny.embed_dim, weights={"vision": "beef"})
    with pytest.raises(SpaceMismatchError, match=r"imagebind_tiny.*other.*, or use another folder"):
        output.claim(other)
