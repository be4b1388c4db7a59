"""`evaluate`: protocol, missing items, limits and the cache."""

import csv
import itertools
import math
import sqlite3

import pytest
import torch

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.datasets.labelled import NamedItem, RetrievalSet
from imagebind.datasets.layouts.esc50 import esc50
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.evaluation import EvaluationError, Result, evaluate, list_benchmarks
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.benchmarks import benchmark_named
from imagebind.evaluation.cache import DATABASE_NAME
from imagebind.modality import MediaKind
from tests.evaluation.layouts import write_esc50

ONE_CLIP = {"clips": 1, "templates": "short"}


@pytest.fixture(scope="module")
def esc50_folder(tmp_path_factory):
    return write_esc50(tmp_path_factory.mktemp("ESC-50"))


@pytest.fixture
def copied(esc50_folder, tmp_path):
    """A copy of the data set with links to its recordings, which a test may damage."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_bytes((esc50_folder / "meta" / "esc50.csv").read_bytes())
    (tmp_path / "audio").mkdir()
    for path in (esc50_folder / "audio").iterdir():
        (tmp_path / "audio" / path.name).symlink_to(path)
    return tmp_path


def test_the_small_model_recognises_shapes_by_their_audio(world_embedder, esc50_folder):
    result = evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP)
    top1 = result.figures["top1"]
    assert top1.value >= 80 and top1.low <= top1.value <= top1.high and top1.chance == pytest.approx(12.5)
    assert result.samples == 40 and result.paper_samples == 2000 and not result.is_partial
    assert sum(count for count, _ in result.per_class.values()) == 40
    assert result.protocol["folds"].value is True and "paper" in result.protocol["folds"].reason
    assert result.protocol["clips"].reason == "given by the user"
    assert Result.from_json(result.to_json()) == result


def test_shuffled_labels_are_recognised_by_chance_only(world_embedder, copied):
    table = copied / "meta" / "esc50.csv"
    header, *rows = list(csv.reader(table.open()))
    with table.open("w", newline="") as file:
        shifted = [
            [*row[:2], *other[2:4], *row[4:]] for row, other in zip(rows, rows[7:] + rows[:7], strict=True)
        ]
        csv.writer(file).writerows([header, *shifted])
    result = evaluate("esc50", world_embedder, copied, options=ONE_CLIP)
    assert result.figures["top1"].value < 40


def test_accuracy_by_folds_is_the_mean_over_folds(world_embedder, copied):
    table = copied / "meta" / "esc50.csv"
    header, *rows = list(csv.reader(table.open()))
    with table.open("w", newline="") as file:  # 4 recordings in the first fold, 36 in the second
        csv.writer(file).writerows(
            [header, *([*row[:1], 1 + (number >= 4), *row[2:]] for number, row in enumerate(rows))]
        )
    by_folds = evaluate("esc50", world_embedder, copied, options=ONE_CLIP)
    as_one = evaluate("esc50", world_embedder, copied, options={**ONE_CLIP, "folds": False})
    ranked = as_one.detail.scores.argmax(dim=1) == as_one.detail.target
    folds = (ranked[:4].double().mean() + ranked[4:].double().mean()) / 2
    assert by_folds.figures["top1"].value == pytest.approx(100 * folds.item())
    assert as_one.figures["top1"].value == pytest.approx(100 * ranked.double().mean().item())


def test_a_damaged_or_missing_file_ends_the_run_unless_it_is_allowed(world_embedder, copied, monkeypatch):
    names = sorted(path.name for path in (copied / "audio").iterdir())
    (copied / "audio" / names[0]).unlink()
    (copied / "audio" / names[1]).unlink()
    (copied / "audio" / names[1]).write_bytes(b"RIFF")
    with monkeypatch.context() as patched:
        patched.setattr(Embedder, "encode_stream", None)  # a missing file is reported before any is embedded
        with pytest.raises(EvaluationError, match=r"40 readable items, got 1 missing or damaged") as caught:
            evaluate("esc50", world_embedder, copied, options=ONE_CLIP)
    assert names[0] in str(caught.value) and names[1] not in str(caught.value)
    with pytest.raises(EvaluationError, match=r"got 2 missing .*the limit is now 1") as caught:
        evaluate("esc50", world_embedder, copied, options=ONE_CLIP, allow_missing=1)
    assert names[0] in str(caught.value) and names[1] in str(caught.value)
    result = evaluate("esc50", world_embedder, copied, options=ONE_CLIP, allow_missing=2)
    assert result.samples == 38 and len(result.missing) == 2


def test_the_error_for_missing_data_has_the_requirements_and_the_url_of_the_benchmark(
    world_embedder, copied, tmp_path_factory
):
    empty = tmp_path_factory.mktemp("empty")
    for name in list_benchmarks():
        benchmark = benchmark_named(name)
        if name.startswith("toyworld"):  # these need no data
            continue
        with pytest.raises(MediaError) as caught:
            evaluate(benchmark, world_embedder, empty)
        text = str(caught.value)
        assert str(empty) in text and (": expected " in text or ": no such " in text)
        assert f". {benchmark.title} needs {benchmark.needs}" in text
        assert f"(download: {benchmark.url})" in text or name == "paired"
    (copied / "meta" / "esc50.csv").write_text("filename,fold\n")  # exists, but is damaged
    with pytest.raises(MediaError, match=r"expected target, category among the columns, got filename, fold$"):
        evaluate("esc50", world_embedder, copied)


def test_without_any_readable_file_the_error_has_the_requirements_of_the_benchmark(world_embedder, copied):
    for path in (copied / "audio").iterdir():
        path.unlink()
    with pytest.raises(EvaluationError, match=r"got none, and 40 missing .* 35 more\)\. ESC-50 needs meta"):
        evaluate("esc50", world_embedder, copied, allow_missing=40)


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        (2, "99", "expected target .* for category .*, got 99"),
        (3, "noise", "expected category .* for target .*, got 'noise'"),
        (0, "2-1-A-1.wav", "for the second time"),
        (1, "first", "fold 'first'"),
    ],
)
def test_a_contradictory_row_of_the_table_is_named(world_embedder, copied, column, value, error):
    table = copied / "meta" / "esc50.csv"
    rows = list(csv.reader(table.open()))
    rows[-1][column] = value
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(MediaError, match=error) as caught:
        evaluate("esc50", world_embedder, copied, options=ONE_CLIP)
    assert "line 41" in str(caught.value)


def test_esc50_in_folders_of_classes_has_the_folds_of_its_file_names(copied, tmp_path):
    root = tmp_path / "folders"
    for row in csv.DictReader((copied / "meta" / "esc50.csv").open()):
        folder = root / "test" / row["category"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / row["filename"]).symlink_to(copied / "audio" / row["filename"])
    listed, found = esc50(copied), esc50(root)

    def described(data):
        return {
            item.item["audio"].name: (data.classes[item.labels[0]].label, item.fold) for item in data.items
        }

    assert described(found) == described(listed)
    assert {item.fold for item in esc50(root, folds=False).items} == {None}
    path = next((root / "test").rglob("1-0-A-0.wav"))
    path.rename(path.with_name("dog.wav"))
    with pytest.raises(MediaError, match=r"dog\.wav: expected .*, got a name without fold; .*folds=false"):
        esc50(root)


def test_a_value_equal_to_that_of_the_protocol_is_no_change():
    choices = benchmark_named("esc50").protocol(given={"clips": 3, "templates": "clip-80", "folds": False})
    assert [name for name, each in choices.items() if each.reason == "given by the user"] == ["folds"]


def test_progress_counts_every_item_once(world_embedder, esc50_folder):
    reported: list[tuple[int, int]] = []
    evaluate(
        "esc50", world_embedder, esc50_folder, options=ONE_CLIP, progress=lambda *each: reported.append(each)
    )
    assert reported == [(done, 40) for done in range(1, 41)]


def test_a_limit_makes_the_result_partial(world_embedder, esc50_folder):
    result = evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP, limit=10)
    assert result.is_partial and result.samples == 10
    assert not evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP, limit=40).is_partial


def test_a_second_run_computes_nothing_and_other_prompts_reuse_the_embeddings(
    world_embedder, esc50_folder, tmp_path, monkeypatch
):
    first = evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP, cache=tmp_path)
    monkeypatch.setattr("imagebind.embedder.Embedder.encode_stream", _no_stream)
    second = evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP, cache=tmp_path)
    assert second.figures == first.figures
    other = evaluate(
        "esc50", world_embedder, esc50_folder, protocol="mteb", options={"clips": 1}, cache=tmp_path
    )
    assert other.protocol["templates"].value == "This is a sound of {}"


def test_each_process_embeds_all_items_if_none_share_a_cache(world_embedder, esc50_folder, monkeypatch):
    alone = evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP)
    for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 2)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert evaluate("esc50", world_embedder, esc50_folder, options=ONE_CLIP).figures == alone.figures


def _no_stream(self, items, **options):
    assert list(items) == []
    yield from ()


def test_other_content_or_another_transform_is_not_taken_from_the_cache(world_embedder, copied, tmp_path):
    cache = tmp_path / "cache"
    first = evaluate("esc50", world_embedder, copied, options=ONE_CLIP, cache=cache)
    names = sorted(path for path in (copied / "audio").iterdir())
    content = names[1].read_bytes()
    names[0].unlink()
    names[0].write_bytes(content)
    second = evaluate("esc50", world_embedder, copied, options=ONE_CLIP, cache=cache)
    assert not (first.detail.scores == second.detail.scores).all()
    changed = (first.detail.scores != second.detail.scores).any(dim=1)
    assert int(changed.sum()) == 1
    stored = sqlite3.connect(cache / DATABASE_NAME).execute("SELECT count(*) FROM vectors")
    assert stored.fetchone() == (40,)  # two recordings are equal now; the vector of the old one is kept
    evaluate("esc50", world_embedder, copied, options={**ONE_CLIP, "clips": 2}, cache=cache)
    stored = sqlite3.connect(cache / DATABASE_NAME).execute("SELECT count(*) FROM vectors")
    assert stored.fetchone() == (79,)


def test_wrong_arguments_are_named(world_embedder, esc50_folder, tmp_path):
    with pytest.raises(ValueError, match="benchmark: expected one of"):
        evaluate("esc-51", world_embedder, esc50_folder)
    with pytest.raises(ValueError, match="protocol: expected one of paper, mteb, ours"):
        evaluate("esc50", world_embedder, esc50_folder, protocol="theirs")
    with pytest.raises(ValueError, match="option: expected one of folds, templates"):
        evaluate("esc50", world_embedder, esc50_folder, options={"fold": 1})
    with pytest.raises(ValueError, match="limit: expected at least 1, got 0"):
        evaluate("esc50", world_embedder, esc50_folder, limit=0)
    with pytest.raises(ValueError, match=r"data: expected the folder of ESC-50 \(meta/.*\), got None"):
        evaluate("esc50", world_embedder)
    with pytest.raises(MediaError, match=r"esc50\.csv"):
        evaluate("esc50", world_embedder, tmp_path)


@pytest.mark.parametrize("option, value", [("templates", "long"), ("names", {"nosuch": "x"})])
def test_unknown_templates_and_labels_are_named_before_any_item_is_embedded(
    world_embedder, esc50_folder, monkeypatch, option, value
):
    monkeypatch.setattr(Embedder, "encode_stream", None)
    with pytest.raises(ValueError, match=rf"{option}: expected .*, got '?(long|nosuch)'?$"):
        evaluate("esc50", world_embedder, esc50_folder, options={option: value})


INVALID_VALUES = (-1, math.nan, math.inf, None, [1.5], {"a": 1}, True, "", 10**15, 0.5)
VALID = {  # the values above that an option accepts
    "thermal_low": (-1, 0.5, 10**15),
    "thermal_high": (-1, 0.5, 10**15),
    "audio_weight": (-1, 0.5, 10**15),  # the reader refuses some
    "imu_window": (0.5,),
    "seed": (10**15,),
    "captions": (10**15,),  # a maximum, which may exceed the number of captions
    "pairs": (10**15,),
}
TEXTS = ("split", "silent", "qualifier", "query", "candidate", "thermal_normalize", "depth_preset")
TEXTS += ("features", "across", "decoder", "unknown_scenes")
SWITCHES = ("folds", "filled", "refined", "rotated")


def test_invalid_values_of_every_option_are_refused_before_any_data_is_read():
    checked = set()
    for name in list_benchmarks():
        benchmark = benchmark_named(name)
        for option, value in itertools.product(benchmark.known_options(), INVALID_VALUES):
            if value in VALID.get(option, ()) or (option in TEXTS and value == ""):
                continue  # readers name the texts that they expect
            if option in SWITCHES and value is True:
                continue
            with pytest.raises(ValueError, match=rf"{name}: {option}: expected .*, got ") as caught:
                benchmark.protocol(given={option: value})
            assert "\n" not in str(caught.value)
            checked.add(option)
    assert checked >= {*VALID, *TEXTS, *SWITCHES, "clips", "crops", "templates", "names", "passes", "scenes"}


def test_clips_have_an_upper_bound():
    for option, name in (
        ("clips", "esc50"),
        ("video_clips", "msrvtt_video"),
        ("audio_clips", "msrvtt_audio"),
    ):
        assert benchmark_named(name).protocol(given={option: 100})[option].value == 100
        with pytest.raises(ValueError, match=f"{option}: expected a whole number from 1 to 100, got 101"):
            benchmark_named(name).protocol(given={option: 101})


def test_a_classification_without_text_fails_before_any_item_is_embedded(esc50_folder, monkeypatch):
    monkeypatch.setattr(Embedder, "encode_stream", None)
    embedder = Embedder(imagebind_tiny(modalities=["audio"]))
    with pytest.raises(EvaluationError, match=r"model: expected one with text .*, got one with audio$"):
        evaluate("esc50", embedder, esc50_folder, options=ONE_CLIP)


@pytest.mark.parametrize(
    ("name", "modalities", "options", "metric"),
    [
        ("toyworld", ["vision", "text"], {"scenes": 4}, "image_shape"),
        ("toyworld-detection", ["vision"], {"groups": 1}, "image_pointing"),
    ],
)
def test_without_the_modalities_of_the_main_figure_the_first_one_is_the_main(
    name, modalities, options, metric
):
    embedder = Embedder(imagebind_tiny(modalities=modalities), num_workers=0)
    result = evaluate(name, embedder, options=options)
    assert result.metric == metric and metric in result.figures


def test_a_toy_world_without_two_modalities_to_compare_is_an_error():
    embedder = Embedder(imagebind_tiny(modalities=["vision"]), num_workers=0)
    with pytest.raises(EvaluationError, match=r"toyworld: expected a model with two .*, got one with vision"):
        evaluate("toyworld", embedder, options={"scenes": 4})


def test_a_retrieval_without_readable_pairs_is_an_error(world_embedder, tmp_path):
    def read(root):
        return RetrievalSet(
            queries=[NamedItem(item="a red star", name="query")],
            candidates=[
                NamedItem(item={"image": tmp_path / "missing.png"}, name="missing"),
                NamedItem(item="a star", name="distractor"),
            ],
            relevant=[(0,)],
        )

    own = Benchmark(name="own", title="Own", task=Task.RETRIEVAL, media=MediaKind.IMAGE, read=read)
    with pytest.raises(EvaluationError, match=r"own: expected a readable query with .*, got none$"):
        evaluate(own, world_embedder, tmp_path, allow_missing=1)
