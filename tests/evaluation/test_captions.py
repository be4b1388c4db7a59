"""Tests of retrieval by captions: AudioCaps, Clotho, MSR-VTT."""

import shutil
from dataclasses import replace
from functools import wraps

import pytest

from imagebind.datasets.labelled import WeightedItems
from imagebind.datasets.layouts.audiocaps import audiocaps
from imagebind.datasets.layouts.clotho import clotho
from imagebind.datasets.layouts.msrvtt import msrvtt_audio, msrvtt_audio_video, msrvtt_video
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from imagebind.evaluation.benchmarks import benchmark_named
from tests.evaluation.layouts import scenes
from tests.evaluation.layouts_captions import describe, write_audiocaps, write_clotho, write_msrvtt
from tests.evaluation.layouts_clips import ytid

NAMES = ("audiocaps", "clotho", "msrvtt_video", "msrvtt_audio", "msrvtt_audio_video")
ONE_VIEW = {"clips": 1, "video_clips": 1, "crops": 1, "audio_clips": 1}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    writers = {"audiocaps": write_audiocaps, "clotho": write_clotho, "msrvtt": write_msrvtt}
    return {name: write(folder / name) for name, write in writers.items()} | {"cache": folder / "cache"}


@pytest.fixture
def copied(roots, tmp_path):
    """Return a function that copies a data set, which a test may damage."""
    return lambda name: shutil.copytree(roots[name], tmp_path / name)


def test_audiocaps_has_five_queries_a_clip_for_any_file_name(roots):
    found = audiocaps(roots["audiocaps"])
    assert len(found.candidates) == 16 and len(found.queries) == 80 and not found.missing
    assert [each.name for each in found.candidates] == [ytid(number) for number in range(16)]
    assert found.queries[16].item == describe(scenes(1)[0], 1) and found.relevant[15:17] == [(15,), (0,)]
    assert found.candidates[3].item["audio"].name == "3.wav"


def test_audiocaps_uses_the_ids_of_a_split_file(roots, tmp_path):
    (tmp_path / "ids.txt").write_text(f"{ytid(3)}\n{ytid(5)}\n")
    found = audiocaps(roots["audiocaps"], split_file=tmp_path / "ids.txt")
    assert [each.name for each in found.candidates] == [ytid(3), ytid(5)] and len(found.queries) == 10


def test_clotho_has_five_queries_a_recording(roots):
    found = clotho(roots["clotho"])
    assert len(found.candidates) == 12 and len(found.queries) == 60
    assert found.relevant[4:6] == [(0,), (1,)]
    assert found.candidates[1].item == {
        "audio": roots["clotho"] / "evaluation" / "Sound 1, (field) - 24_96.wav"
    }


def test_missing_files_are_listed_once_and_their_captions_left_out(copied):
    root = copied("audiocaps")
    (root / "audio" / "test" / f"{ytid(0)}.wav").unlink()
    found = audiocaps(root)
    assert [name.split("/")[-1] for name in found.missing] == [f"{ytid(0)}.*"]
    assert len(found.candidates) == 15 and len(found.queries) == 75
    root = copied("clotho")
    (root / "evaluation" / "Sound 1, (field) - 24_96.wav").unlink()
    found = clotho(root)
    assert len(found.missing) == 1 and len(found.queries) == 55 and found.relevant[5] == (1,)
    root = copied("msrvtt")
    (root / "videos" / "all" / "video7021.mp4").unlink()
    found = msrvtt_video(root)
    assert [name.split("/")[-1] for name in found.missing] == ["video7021.mp4"]
    assert found.relevant[1] == (1,) and found.candidates[1].name == "video7022"


def test_videos_without_audio_are_counted_and_handled_as_the_protocol_says(roots):
    root = roots["msrvtt"]
    assert len(msrvtt_video(root).candidates) == 20 and not msrvtt_video(root).notes
    found = msrvtt_audio(root)
    assert len(found.candidates) == len(found.queries) == 19
    assert list(found.notes) == ["1 of 20 videos have no audio track: their captions are left out"]
    found = msrvtt_audio(root, silent="silence")
    assert len(found.candidates) == len(found.queries) == 20 and not found.candidates[-1].item["audio"].any()
    with pytest.raises(ValueError, match="silent: expected one of leave_out, silence, got 'last'"):
        msrvtt_audio(root, silent="last")
    found = msrvtt_audio_video(root)
    weights = [weight for _, weight in found.candidates[0].item.parts]
    assert weights == [0.95, 0.05] and not isinstance(found.candidates[-1].item, WeightedItems)
    assert list(found.notes) == ["1 of 20 videos have no audio track: their video alone is used"]


def test_the_json_of_msrvtt_has_twenty_captions_and_the_test_split(roots, copied):
    found = msrvtt_video(roots["msrvtt"], split="full", captions=20)
    assert len(found.candidates) == 19 and len(found.queries) == 380 and not found.missing
    assert found.candidates[0].name == "video7021" and found.relevant[19:21] == [(0,), (1,)]
    assert [each.item for each in found.queries[:2]] == [describe(scenes(2)[1], each) for each in (0, 1)]
    one_k = msrvtt_video(roots["msrvtt"], captions=3)  # the videos of the CSV, captions of the JSON
    assert len(one_k.candidates) == 20 and len(one_k.queries) == 60
    assert len(msrvtt_audio(roots["msrvtt"], split="full").candidates) == 18
    assert len(msrvtt_audio_video(roots["msrvtt"], split="full", captions=2).queries) == 38
    root = copied("msrvtt")
    (root / "MSRVTT_JSFUSION_test.csv").unlink()
    (root / "MSRVTT_data.json").rename(root / "test_videodatainfo.json")
    assert len(msrvtt_video(root, split="full").queries) == 19
    (root / "test_videodatainfo.json").write_text('{"videos": [{"video_id": "a"}], "sentences": []}')
    with pytest.raises(
        MediaError,
        match=r"test_videodatainfo\.json: expected JSON with .*, got a file without a caption of a",
    ):
        msrvtt_video(root, split="full")
    (root / "test_videodatainfo.json").write_text('{"videos": []}')
    with pytest.raises(MediaError, match=r"cannot be read \(KeyError: 'sentences'\)"):
        msrvtt_video(root, split="full")
    with pytest.raises(ValueError, match="split: expected one of 1k-A, full, got '1kA'"):
        msrvtt_video(root, split="1kA")


def test_a_wrong_split_and_missing_or_incomplete_files_are_named(copied, tmp_path):
    for read in (audiocaps, clotho):
        with pytest.raises(ValueError, match="split: expected one of"):
            read(tmp_path, split="all")
    with pytest.raises(MediaError, match=r"test\.csv: no such file; also tried dataset"):
        audiocaps(tmp_path)
    with pytest.raises(MediaError, match=r"MSRVTT_JSFUSION_test\.csv: no such file"):
        msrvtt_video(tmp_path)
    root = copied("clotho")
    table = root / "clotho_captions_evaluation.csv"
    table.write_text(table.read_text().replace(describe(scenes(1)[0], 3), "", 1))
    with pytest.raises(MediaError, match=r"expected a caption of Sound 0.*, got an empty text"):
        clotho(root)
    shutil.rmtree(root / "evaluation")
    with pytest.raises(
        MediaError, match="evaluation: no such folder; it should contain the recordings of clotho"
    ):
        clotho(root)


def test_msrvtt_audio_has_the_option_audio_clips_and_audiocaps_the_option_clips():
    with pytest.raises(
        ValueError, match=r"expected one of split, captions, silent, audio_clips, .*got 'clips'"
    ):
        benchmark_named("msrvtt_audio").protocol(given={"clips": 1})
    assert benchmark_named("audiocaps").protocol(given={"clips": 1})["clips"].value == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_small_model_finds_media_by_their_captions(world_embedder, roots, name):
    benchmark = benchmark_named(name)
    options = {each: ONE_VIEW[each] for each in benchmark.options.keys() & ONE_VIEW.keys()}
    root, cache = roots[name.split("_")[0]], roots["cache"]
    result = evaluate(benchmark, world_embedder, root, options=options, cache=cache)
    found = result.figures["R@5"]
    assert found.value >= 80 > 1.9 * found.chance and result.figures["median_rank"].value <= 2

    @wraps(benchmark.read)  # keeps the signature, from which the options are read
    def shuffled(root, **options):
        pairs = benchmark.read(root, **options)
        return replace(pairs, relevant=[*pairs.relevant[7:], *pairs.relevant[:7]])

    shuffled_benchmark = replace(benchmark, read=shuffled)
    result = evaluate(shuffled_benchmark, world_embedder, root, options=options, cache=cache)
    assert result.figures["R@5"].value < 1.5 * found.chance
