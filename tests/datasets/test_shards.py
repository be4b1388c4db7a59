"""Pairs in WebDataset shards."""

import io
import json
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.datasets.pairs import Pair, PairDataset
from imagebind.datasets.shards import ShardPairs, open_file_part, shard_samples
from imagebind.errors import MediaError
from imagebind.training.data.augment import AlignedAudio, AlignedImages, AlignedImu, CaptionedVision
from imagebind.training.data.loading import PairLoader
from imagebind.training.data.mixture import PairMixture, PairSource
from imagebind.transforms.image import ImageTransform
from tests.media.measured import encoded
from tests.training.made import ramp, write_audio, write_image, write_imu, write_video


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def png(grey: int) -> bytes:
    return encoded(np.full((8, 8, 3), grey, np.uint8), "png")


@pytest.fixture
def captioned(tmp_path) -> list[Path]:
    """Three shards of 4 samples; the caption of each is its number, as is the gray level of its image."""
    shards = []
    for number in range(3):
        files = {}
        for index in range(4 * number, 4 * number + 4):
            files[f"train/{index:04}.png"] = png(10 * index)
            files[f"train/{index:04}.json"] = json.dumps({"index": index}).encode()
            files[f"train/{index:04}.txt"] = str(index).encode()
        shards.append(shard(tmp_path / f"{number:06}.tar", files))
    return shards


def test_several_shards_are_one_sequence_of_pairs_in_order(captioned):
    pairs = ShardPairs(captioned, "text")
    assert len(pairs) == 12 and pairs.incomplete == []
    assert pairs[5].name == "000001.tar/train/0005"
    assert pairs[5].other["text"].read() == b"5"
    assert Image.open(pairs[-1].vision["vision"]).getpixel((0, 0)) == (110, 110, 110)
    assert [pair.name[-4:] for pair in pairs[3:6]] == ["0003", "0004", "0005"]
    with pytest.raises(IndexError):
        pairs[12]


def test_workers_read_the_same_batches_from_any_step(captioned):
    transform = CaptionedVision(image=ImageTransform(size=8))
    source = PairSource(name="shards", dataset=PairDataset(ShardPairs(captioned, "text"), transform))
    mixture = PairMixture([source], 4, seed=0)
    expected = [batch for _, batch in islice(PairLoader(mixture).batches(), 6)]
    resumed = islice(PairLoader(mixture, num_workers=2).batches(2), 4)
    for loaded, whole in zip(resumed, expected[2:], strict=True):
        assert torch.equal(loaded.batch.inputs["vision"], whole.inputs["vision"])
        assert torch.equal(loaded.batch.inputs["text"], whole.inputs["text"])
        assert not loaded.batch.broken


def test_the_webdataset_package_reads_the_same_samples(captioned):
    webdataset = pytest.importorskip("webdataset")
    theirs = webdataset.WebDataset([str(path) for path in captioned], shardshuffle=False)
    ours = ShardPairs(captioned, "text")
    for sample, pair in zip(theirs, ours, strict=True):
        assert pair.name.endswith("/" + sample["__key__"])
        assert pair.vision["vision"].read() == sample["png"] and pair.other["text"].read() == sample["txt"]


def test_audio_imu_and_depth_files_in_a_shard_give_the_tensors_of_separate_files(tmp_path):
    video = write_video(tmp_path / "video.mp4").read_bytes()
    audio = write_audio(tmp_path / "audio.wav").read_bytes()
    imu = write_imu(tmp_path / "imu.csv").read_bytes()
    view = write_image(tmp_path / "view.jpg", ramp(40, 60)).read_bytes()
    deep = encoded(np.full((40, 60), 2000, np.uint16), "png")
    path = shard(
        tmp_path / "all.tar",
        {"a.mp4": video, "a.wav": audio, "a.imu.csv": imu, "a.jpg": view, "a.depth.png": deep},
    )
    from_video = {"vision": ("mp4",)}
    for modality, transform, options in (
        ("audio", AlignedAudio(), from_video),
        ("imu", AlignedImu(), from_video),
        ("depth", AlignedImages(), {"options": {"sensor": "kinect_v2", "encoding": "millimetres"}}),
    ):
        sample = PairDataset(ShardPairs([path], modality, **options), transform)[0]
        suffix = {"audio": "wav", "imu": "csv", "depth": "png"}[modality]
        item = {modality: next(tmp_path.glob(f"*.{suffix}"), deep), **options.get("options", {})}
        vision = tmp_path / ("view.jpg" if modality == "depth" else "video.mp4")
        separate = Pair(vision=vision, other=item, modality=modality, name="separate")
        expected = PairDataset([separate], transform)[0]
        assert torch.equal(sample.vision, expected.vision) and torch.equal(sample.other, expected.other)


@pytest.mark.parametrize("modality", ["depth", "thermal"])
def test_an_image_is_not_its_own_depth_or_thermal(tmp_path, modality):
    files = {f"a.{modality}.png": png(2), "a.png": png(1), "b.png": png(3)}
    files |= {"c.png": png(4), "c.npy": b"map"}
    pairs = ShardPairs([shard(tmp_path / "images.tar", files)], modality)
    assert [pair.name for pair in pairs] == ["images.tar/a", "images.tar/c"]
    assert pairs.incomplete == ["images.tar/b"]
    whole, other = pairs
    assert whole.vision["vision"].read() == png(1) and whole.other[modality].read() == png(2)
    assert other.vision["vision"].read() == png(4) and other.other[modality].read() == b"map"


def test_one_file_may_be_both_items_of_a_pair(tmp_path):
    path = shard(tmp_path / "videos.tar", {"a.mp4": b"video", "b.mp4": b"video", "b.wav": b"audio"})
    both, two = ShardPairs([path], "audio")
    assert both.vision["vision"] is both.other["audio"]
    assert two.vision["vision"].read() == b"video" and two.other["audio"].read() == b"audio"


def test_an_image_with_the_suffix_of_depth_is_not_used_twice(tmp_path):
    path = shard(tmp_path / "views.tar", {"a.jpg": b"view", "a.png": b"depth"})
    (pair,) = ShardPairs([path], "depth")
    assert pair.vision["vision"].read() == b"view" and pair.other["depth"].read() == b"depth"
    (pair,) = ShardPairs([path], "depth", vision=("png", "jpg"))
    assert pair.vision["vision"].read() == b"view"


def test_incomplete_samples_are_left_out_and_named(tmp_path, caplog):
    path = shard(tmp_path / "s.tar", {"a.jpg": b"x", "a.txt": b"x", "b.jpg": b"x", "c.txt": b"x"})
    pairs = ShardPairs([path], "text")
    assert len(pairs) == 1 and pairs.incomplete == ["s.tar/b", "s.tar/c"]
    assert "2 samples lack vision or text" in caplog.text
    with pytest.raises(MediaError, match=r"expected samples with one of jpg.*, got no pair in 1 shards"):
        ShardPairs([path], "imu")


def test_vision_is_not_the_other_modality_of_a_pair():
    with pytest.raises(ValueError, match="modality: expected another modality than vision, got vision"):
        ShardPairs(["s.tar"], "vision")


def test_keys_end_at_the_first_dot_and_folders_are_skipped(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("some.folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("some.folder/x.JPG", "some.folder/x.depth.png"):
            archive.addfile(tarfile.TarInfo(name))
    ((key, files),) = shard_samples(path)
    assert key == "some.folder/x" and sorted(files) == ["depth.png", "jpg"]


def test_a_damaged_sample_is_broken_and_named_by_shard_and_key(tmp_path):
    path = shard(tmp_path / "s.tar", {"a.jpg": b"\xff\xd8\xff no image", "a.txt": b"x"})
    broken = PairDataset(ShardPairs([path], "text"), CaptionedVision())[0]
    assert broken.name == "s.tar/a" and "s.tar/a.jpg" in str(broken.error)


@pytest.mark.parametrize("content", [b"", b"no tar file at all" * 100, None])
def test_a_file_that_is_not_a_shard_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "bad.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        MediaError, match=r"bad\.tar: expected a complete, uncompressed \.tar, got a file that cannot be read"
    ):
        ShardPairs([path], "text")


def test_a_truncated_shard_is_an_error(captioned):
    whole = captioned[1].read_bytes()
    end = whole.rindex(b"7" + bytes(511))  # a part of the last caption
    captioned[1].write_bytes(whole[:end])
    with pytest.raises(MediaError, match=r"000001\.tar: expected a complete, uncompressed \.tar"):
        ShardPairs(captioned, "text")


def test_a_part_of_a_file_behaves_like_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with open_file_part(path, 10, 20, name="stretch") as file:
        assert file.read() == bytes(range(10, 30)) and file.read() == b""
        assert file.seek(-5, io.SEEK_END) == 15 and file.read(3) == bytes([25, 26, 27])
        assert file.seek(2) == 2 and file.seek(3, io.SEEK_CUR) == 5 and file.tell() == 5
        assert file.name == "stretch"
        with pytest.raises(ValueError, match="stretch: position: expected 0 or more, got -1"):
            file.seek(-1)
