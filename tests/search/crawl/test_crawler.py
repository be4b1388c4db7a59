"""The crawl: all media under a folder is searchable, and later crawls embed only changed files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import MediaKind, ModalityType
from imagebind.search import Index, SpaceMismatchError
from imagebind.search.crawl.crawler import crawl
from imagebind.search.rows import IndexRow
from tests.search.crawl.conftest import FILES, SCENES
from tests.search.crawled import MAPPINGS, crawled, outcomes, tiny, vectors
from tests.search.recorded import damage_audio, write_recording


@pytest.fixture(scope="module")
def indexed(world, tmp_path_factory) -> Path:
    """The index of the world, which tests only read."""
    folder = tmp_path_factory.mktemp("db") / "db"
    crawled(folder, world)
    return folder


@pytest.fixture
def known(indexed, media, world, db) -> Path:
    """Return an index of `media` that was made from the world's without embedding."""
    shutil.copytree(indexed, db)
    index = Index.open(db)
    index.move_paths(
        {
            path: (str(media / Path(path).relative_to(world)), state.mtime_ns)
            for path, state in index.files().items()
        }
    )
    return db


def test_every_file_of_every_media_type_has_the_vector_of_encode(world, indexed):
    found = vectors(indexed, world)
    assert len(found) == SCENES * FILES
    for (name, kind, _), vector in found.items():
        np.testing.assert_allclose(vector, tiny().encode({kind: world / name}), atol=1e-5, err_msg=name)
    assert {kind for _, kind, _ in found} == {kind.value for kind in MediaKind}


def test_a_row_has_its_file_its_times_and_a_thumbnail(world, indexed):
    hits = {Path(hit.path).name: hit for hit in Index.open(indexed).sample(99)}
    video, text, image = hits["video.mp4"], hits["video.txt"], hits["image.png"]
    assert (video.start, video.end) == (0, pytest.approx(2)) and (image.start, image.end) == (None, None)
    assert image.file.is_relative_to(world) and image.size == image.file.stat().st_size
    assert image.mtime_ns == image.file.stat().st_mtime_ns and len(image.content_hash) == 32
    assert video.thumbnail.startswith(b"\xff\xd8") and image.thumbnail.startswith(b"\xff\xd8")
    assert text.thumbnail is None and text.metadata == {"text": text.file.read_text().strip()}


def test_a_search_finds_indexed_files(world, indexed):
    index = Index.open(indexed, tiny())
    audio = world / "000002" / "audio.wav"
    assert index.search(audio, 1)[0].file == audio
    assert index.search((world / "000001" / "image.txt").read_text(), 1, kinds=["text"])[0].cosine > 0.99


def test_a_second_crawl_examines_no_file(known, media, monkeypatch):
    monkeypatch.setattr("imagebind.search.crawl.crawler.examine", None)  # fails if it is called
    (media / "manifest.jsonl").unlink()
    report = crawled(known, media)
    assert outcomes(report) == {"unchanged": SCENES * FILES} and report.rows == 0
    assert len(Index.open(known)) == SCENES * FILES


def test_only_changed_files_are_embedded_again(known, media):
    before = vectors(known, media)
    changed, touched, new = media / "000000" / "image.png", media / "000001" / "image.png", media / "new.txt"
    shutil.copy(media / "000002" / "image.png", changed)
    os.utime(touched)
    new.write_text("a blue ring")
    report = crawled(known, media)
    assert outcomes(report) == {"added": 1, "changed": 1, "unchanged": SCENES * FILES - 1}
    assert report.rows == 2
    after = vectors(known, media)
    np.testing.assert_allclose(
        after["000000/image.png", "image", None], before["000002/image.png", "image", None], atol=1e-5
    )
    assert len(after) == len(before) + 1
    assert Index.open(known).files()[str(touched)].mtime_ns == touched.stat().st_mtime_ns
    assert outcomes(crawled(known, media)) == {"unchanged": SCENES * FILES + 1}


def test_moved_files_keep_vectors_and_ids_and_are_not_embedded_again(known, media, monkeypatch):
    before = {hit.content_hash: hit for hit in Index.open(known).sample(99)}
    (media / "000000").rename(media / "elsewhere")
    (media / "000001" / "image.png").rename(media / "000001" / "it's \U0001f436\n.png")
    monkeypatch.setattr("imagebind.windows.WindowPlanner.requests", None)
    report = crawled(known, media)
    assert outcomes(report) == {"moved": FILES + 1, "unchanged": (SCENES - 1) * FILES - 1}
    after = {hit.content_hash: hit for hit in Index.open(known).sample(99)}
    assert {hash: hit.id for hash, hit in after.items()} == {hash: hit.id for hash, hit in before.items()}
    assert all(hit.file.is_file() for hit in after.values())


def test_a_copy_is_added_and_one_of_two_copies_of_a_deleted_file_is_moved(known, media):
    original = media / "000000" / "image.png"
    shutil.copy2(original, media / "copy.png")
    assert outcomes(crawled(known, media))["added"] == 1
    shutil.copy2(original, media / "a.png")
    shutil.copy2(original, media / "b.png")
    original.unlink()
    found = outcomes(crawled(known, media))
    assert (found["moved"], found["added"]) == (1, 1)


def test_missing_files_stay_until_they_are_pruned(known, media, tmp_path):
    Index.open(known, tiny()).add(["a text without a file"])
    (media / "000000" / "image.png").unlink()
    shutil.rmtree(media / "000001")
    report = crawled(known, media)
    assert report.gone == FILES + 1 and len(Index.open(known)) == SCENES * FILES + 1
    report = crawled(known, media / "000002", prune=True)  # it is not below the root
    assert "removed" not in outcomes(report) and report.gone == 0
    report = crawled(known, media, prune=True)
    assert outcomes(report)["removed"] == FILES + 1
    assert len(Index.open(known)) == (SCENES - 1) * FILES - 1 + 1


def test_a_missing_root_prunes_nothing(known, media):
    media.rename(media.with_name("unmounted"))
    with pytest.raises(MediaError, match="media: cannot be found"):
        crawled(known, media, prune=True)
    assert len(Index.open(known)) == SCENES * FILES


def test_a_failed_file_is_retried_and_keeps_its_earlier_rows(known, media):
    image = media / "000000" / "image.png"
    good = image.read_bytes()
    image.write_bytes(good[:5000])
    for _ in range(2):
        report = crawled(known, media)
        assert outcomes(report) == {"unchanged": SCENES * FILES - 1, "failed": 1}
        assert report.failures[0].path == str(image) and "cut short" in report.failures[0].error
    assert len(Index.open(known)) == SCENES * FILES
    image.write_bytes(good + b"\0")
    assert outcomes(crawled(known, media))["changed"] == 1


def test_a_16_bit_grayscale_image_is_ambiguous(media, db, tmp_path):
    errors = tmp_path / "errors.jsonl"
    report = crawled(db, media, mappings=[], errors=errors)
    assert outcomes(report)["failed"] == 2 * SCENES
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"AmbiguousMediaError"} and len(lines) == 2 * SCENES
    assert "--map '**/depth.png=depth' or --map '**/depth.png=thermal'" in lines[0]["error"]
    report = crawled(db, media, errors=errors)
    assert outcomes(report) == {"added": 2 * SCENES, "unchanged": (FILES - 2) * SCENES}
    assert not errors.exists()


def test_an_ambiguous_media_type_is_asked_for_once_per_folder(media, db):
    asked = []

    def ask(found, error):
        asked.append(found.relative)
        return (MediaKind.DEPTH, {"focal": 260.0}) if "000000" in str(found.path) else None

    report = crawled(db, media, mappings=[], ask=ask)
    assert [path.parent.name for path in asked] == [f"{number:06}" for number in range(SCENES)]
    assert outcomes(report)["failed"] == 2 * (SCENES - 1)
    found = {
        Path(path).name for path, state in Index.open(db).files().items() if MediaKind.DEPTH in state.kinds
    }
    assert found == {"depth.png", "thermal.png"}


def test_a_file_mapped_to_another_media_type_is_embedded_again(known, media):
    mappings = [parse_mapping("000000/depth.png=thermal"), *MAPPINGS]
    assert outcomes(crawled(known, media, mappings=mappings))["changed"] == 1
    assert Index.open(known).files()[str(media / "000000" / "depth.png")].kinds == {MediaKind.THERMAL}


def test_a_video_mapped_to_audio_is_embedded_again_as_audio(tmp_path, db):
    media = tmp_path / "videos"
    media.mkdir()
    video_file = write_recording(media / "film.mp4", 5)
    crawled(db, media)
    assert Index.open(db).files()[str(video_file)].kinds == {MediaKind.VIDEO, MediaKind.AUDIO}
    for _ in range(2):
        report = crawled(db, media, mappings=[parse_mapping("*.mp4=audio")])
    assert outcomes(report) == {"unchanged": 1}
    assert Index.open(db).files()[str(video_file)].kinds == {MediaKind.AUDIO}
    assert outcomes(crawled(db, media, mappings=[parse_mapping("*.mp4=video")])) == {"changed": 1}


def test_metadata_of_a_file_added_by_a_user_survives_a_crawl(known, media):
    index = Index.open(known, tiny())
    path = media / "000000" / "image.png"
    index.add([path], metadata={"owner": "me"})
    assert outcomes(crawled(known, media))["changed"] == 1
    (hit,) = index.search(path, 9, metadata={"owner": "me"})
    assert hit.path == str(path) and hit.size == path.stat().st_size
    Image.new("RGB", (300, 200), "red").save(path)
    assert outcomes(crawled(known, media))["changed"] == 1
    assert len(index.search(path, 9, metadata={"owner": "me"})) == 1


def test_items_of_an_archive_are_not_pruned_while_it_exists(known, media):
    shard = media / "shard.tar"
    shard.write_bytes(b"x")
    index = Index.open(known, tiny())
    (hit, *_) = index.sample(1)
    index.add_rows([IndexRow(path=f"{shard}/a.png", kind=hit.kind, vector=hit.vector)])
    assert "removed" not in outcomes(crawled(known, media, prune=True))
    shard.unlink()
    assert outcomes(crawled(known, media, prune=True))["removed"] == 1


def test_a_file_that_is_no_longer_media_is_pruned(known, media):
    path = (media / "000000" / "image.png").rename(media / "scan")
    crawled(known, media)
    path.write_bytes(b"PK\3\4" + bytes(100))
    report = crawled(known, media)
    assert report.gone == 1 and str(path) in Index.open(known).files()
    assert outcomes(crawled(known, media, prune=True))["removed"] == 1
    assert str(path) not in Index.open(known).files()


def test_a_file_whose_media_type_a_user_gave_is_not_pruned(known, media):
    index = Index.open(known, tiny())
    log = media / "server.log"
    log.write_text("a red star")
    index.add([{"text": log}])
    path = (media / "000000" / "image.png").rename(media / "scan")
    path.write_bytes(b"just words")
    crawled(known, media, mappings=[parse_mapping("scan=text"), *MAPPINGS])
    os.utime(path, (1, 1))
    crawled(known, media, prune=True)
    assert index.files().keys() >= {str(log), str(path)}


def test_a_path_that_no_file_can_have_is_ignored(known, media):
    index = Index.open(known, tiny())
    (hit, *_) = index.sample(1)
    index.add_rows([IndexRow(path=f"{media}/shard.tar/a\\x00.png", kind=hit.kind, vector=hit.vector)])
    assert not crawled(known, media, prune=True).failures


def test_options_of_a_mapping_reach_the_transform(media, db):
    mapping = parse_mapping("**/depth.png=depth:focal=600")
    crawled(db, media / "000000", mappings=[mapping])
    (vector,) = [v for (_, kind, _), v in vectors(db, media).items() if kind == "depth"]
    item = {"depth": media / "000000" / "depth.png", "focal": 600}
    np.testing.assert_allclose(vector, tiny().encode(item), atol=1e-5)


def test_a_long_video_has_windows_of_video_and_of_audio(tmp_path, db):
    media = tmp_path / "videos"
    media.mkdir()
    write_recording(media / "film.mp4", 13)
    report = crawled(db, media, window_seconds=4, hop_seconds=3)
    assert outcomes(report) == {"added": 1} and report.rows == 8
    hits = Index.open(db).sample(99)
    for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
        spans = sorted((hit.start, hit.end) for hit in hits if hit.kind is kind)
        assert [start for start, _ in spans] == [0, 3, 6, 9] and spans[-1][1] == pytest.approx(13, abs=0.1)
    assert all(hit.thumbnail for hit in hits) and len({hit.thumbnail for hit in hits}) == len(hits)
    assert Index.open(db).files()[str(media / "film.mp4")].kinds == {MediaKind.VIDEO, MediaKind.AUDIO}
    assert outcomes(crawled(db, media)) == {"unchanged": 1}


@pytest.mark.parametrize("window", [10, 2])
def test_a_video_with_damaged_audio_is_indexed_by_its_frames(tmp_path, db, window):
    media = tmp_path / "videos"
    media.mkdir()
    video_file = write_recording(media / "film.mp4", 5)
    damage_audio(video_file)
    report = crawled(db, media, window_seconds=window, hop_seconds=window)
    assert outcomes(report) == {"added": 1}
    assert report.failures[0].path == str(video_file) and "audio" in report.failures[0].error
    assert Index.open(db).files()[str(video_file)].kinds == {MediaKind.VIDEO}
    (hit, *_) = Index.open(db).sample(9)
    assert hit.metadata == {"unread": "audio"}
    assert outcomes(crawled(db, media)) == {"unchanged": 1}
    write_recording(video_file, 5)
    repaired = crawled(db, media, window_seconds=window, hop_seconds=window)
    assert outcomes(repaired) == {"changed": 1} and not repaired.failures
    assert [hit.metadata for hit in Index.open(db).sample(1)] == [{}]
    assert outcomes(crawled(db, media)) == {"unchanged": 1}


def test_files_that_are_not_media_are_counted_and_damaged_media_fails(tmp_path, db):
    media = tmp_path / "mixed"
    media.mkdir()
    names = {
        "Thumbs.db": b"\xd0\xcf\x11\xe0\0",
        "a.pdf": b"%PDF-1.7\n\xff\xff",
        "b.PDF": b"%PDF\0",
        "run.py": b"x = 1",
    }
    bad = {"zeros.jpg": bytes(5000), "empty.png": b"", "latin.txt": b"caf\xe9 au lait"}
    for name, content in {
        **names,
        **bad,
        "empty": b"",
        "table.csv": b"a,b\n1,2\n",
        "good.txt": b"a star",
    }.items():
        (media / name).write_bytes(content)
    report = crawled(db, media)
    assert outcomes(report) == {"added": 1, "failed": 3}
    assert report.not_media == {".db": 1, ".pdf": 2, ".py": 1, "": 1, ".csv": 1}
    assert {Path(failure.path).name for failure in report.failures} == set(bad)


def test_odd_names_are_found_again(world, tmp_path, db):
    media = tmp_path / "odd"
    media.mkdir()
    odd = [
        "two\nlines.png",
        "it's.png",
        '"quoted".png',
        "🐶.png",
        "[b].png",
        "n" * 251 + ".png",
        b"caf\xe9.png",
        "%s\\.png",
    ]
    paths = [media / os.fsdecode(name) for name in odd]
    for number, path in enumerate(paths):
        Image.new("RGB", (32, 32), (30 * number, 200, 100)).save(path, "PNG")
    assert outcomes(crawled(db, media)) == {"added": len(odd)}
    assert {hit.file for hit in Index.open(db).sample(99)} == set(paths)
    assert outcomes(crawled(db, media)) == {"unchanged": len(odd)}
    for path in paths:
        path.unlink()
    assert outcomes(crawled(db, media, prune=True)) == {"removed": len(odd)}


def test_a_loop_of_links_and_the_index_itself_are_not_media(media):
    (media / "000000" / "up").symlink_to(media)
    db = media / "db"
    errors = media / "errors.jsonl"
    for expected in ("added", "unchanged"):
        report = crawled(db, media, errors=errors)
        assert outcomes(report) == {expected: SCENES * FILES} and report.not_media == {".jsonl": 1}


def test_files_without_a_trunk_fail_and_the_rest_is_indexed(media, db):
    without_audio = Embedder(
        imagebind_tiny(pretrained=True, modalities=[ModalityType.VISION, ModalityType.TEXT])
    )
    report = crawl(Index.open(db, without_audio, create=True), [media / "000000"], mappings=MAPPINGS)
    assert outcomes(report) == {"added": 4, "failed": 4}
    assert any("audio, which this model was built without" in failure.error for failure in report.failures)


def test_an_index_is_not_opened_with_another_model(known, media):
    with pytest.raises(SpaceMismatchError, match="expected vectors of space imagebind_tiny"):
        Index.open(known, Embedder(imagebind_tiny()))


def test_progress_has_the_report_and_the_number_of_files(known, media):
    (media / "new.txt").write_text("a star")
    reported = []
    report = crawled(known, media, progress=lambda report, total: reported.append((report.seen, total)))
    done = [handled for handled, _ in reported]
    assert done == list(range(1, report.seen + 1)) and {total for _, total in reported} <= {None, report.seen}


def test_an_index_without_an_embedder_is_refused(tmp_path, known):
    with pytest.raises(ValueError, match="opened with an embedder"):
        crawl(Index.open(known), [tmp_path])


def test_audio_of_every_length_is_indexed(tmp_path, db):
    media = tmp_path / "audio"
    media.mkdir()
    tone = np.sin(np.arange(16_000 * 31) / 9).astype(np.float32) / 2
    for seconds in (0.5, 2, 9.99, 10, 10.4, 12, 31):
        soundfile.write(media / f"{seconds}.wav", tone[: round(16_000 * seconds)], 16_000)
    report = crawled(db, media)
    assert outcomes(report) == {"added": 7}
    ends = {}
    for hit in Index.open(db).sample(99):
        ends.setdefault(Path(hit.path).stem, []).append(hit.end)
    assert {name: len(found) for name, found in ends.items() if len(found) > 1} == {"12": 2, "31": 6}
    assert all(max(found) == pytest.approx(float(name), abs=1e-3) for name, found in ends.items())
