"""`imagebind evaluate`: benchmarks and own files, reports, few-shot, several processes, resumption."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.checkpoints.factory import imagebind_tiny, save_model
from imagebind.evaluation.benchmarks import list_benchmarks
from imagebind.evaluation.cache import DATABASE_NAME
from imagebind.evaluation.report import JSON_NAME, REPORT_NAME
from imagebind.training.tuning import Lora, freeze_but
from tests.evaluation.layouts import scenes, write_audio, write_esc50
from tests.evaluation.layouts_sensors import write_ego4d_world, write_llvip_world, write_nyu_world

QUICK = ("--model", "tiny", "--option", "clips=1", "--option", "templates=short", "--device", "cpu")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_esc50(root / "ESC-50", 24)
    return root


@pytest.fixture
def evaluate(imagebind, tmp_path):
    return lambda *arguments: imagebind("evaluate", *arguments, "--cache", tmp_path / "cache")


def test_the_list_has_the_published_figure_the_requirements_and_the_licence_of_a_benchmark(imagebind):
    run = imagebind("evaluate", "--list")
    assert run.code == 0
    (line,) = [line for line in run.out.splitlines() if line.strip().startswith("esc50")]
    assert "top1 66.9" in line and "meta/esc50.csv" in line and "CC BY-NC" in line


def test_a_benchmark_prints_its_figures_its_protocol_and_the_differences_from_the_published_one(
    evaluate, data_root
):
    run = evaluate("esc50", "--data", data_root / "ESC-50", *QUICK)
    assert run.code == 0, run.err
    assert "66.9" in run.out and "clips = 1 (given by the user)" in run.out
    assert "ESC-50 (24 samples, published 2,000)" in run.out and "protocol: paper" in run.out
    reasons = "24 samples, published 2,000; 8 classes, published 50; changed options: templates, clips"
    assert reasons in run.out


def test_data_is_found_below_a_root_and_a_report_is_written(evaluate, data_root, tmp_path):
    run = evaluate("esc50", "--data-root", data_root, "--report", tmp_path / "report", *QUICK)
    assert run.code == 0, run.err
    (stored,) = json.loads((tmp_path / "report" / JSON_NAME).read_text())
    assert stored["benchmark"] == "esc50" and stored["figures"]["top1"]["value"] > 60
    text = (tmp_path / "report" / REPORT_NAME).read_text()
    assert "24 samples, published 2,000. Protocol: paper." in text
    label, (count, value) = next(iter(stored["per_class"].items()))
    assert f"| {label} | {count} | {value:.1f} |" in text
    for name in ("confusion", "similarities", "classes"):
        assert f"(esc-50-{name}.png)" in text
        assert (tmp_path / "report" / f"esc-50-{name}.png").stat().st_size > 5_000


def test_options_of_each_benchmark_are_read_from_a_file(evaluate, data_root, tmp_path):
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"esc50": {"templates": "name"}, "toyworld": {"scenes": 3}}))
    quick = ("--model", "tiny", "--option", "clips=1", "--json", "--options", path)
    run = evaluate("esc50", "--data", data_root / "ESC-50", *quick)
    assert json.loads(run.out)["protocol"]["templates"]["value"] == "name"
    path.write_text("[]")
    run = evaluate("esc50", "--data", data_root / "ESC-50", *quick)
    assert run.code == 2 and "{benchmark: {name: value}}" in " ".join(run.err.split())
    path.write_text('{"few-shot": {}}')
    run = evaluate("few-shot", "esc50", "--data", data_root / "ESC-50", *quick)
    assert run.code == 2 and "expected benchmarks among imagenet" in " ".join(run.err.split())
    run = evaluate("pets", "--images", "pets/*/*.jpg", *quick)
    assert run.code == 2 and ", pets, got 'few-shot'" in " ".join(run.err.replace("│", " ").split())


def test_few_shot_takes_the_numbers_of_examples_after_shots(evaluate, data_root):
    run = evaluate("few-shot", "esc50", "--data", data_root / "ESC-50", *QUICK, "--json", "--shots", "1", "3")
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert list(result["figures"]) == ["1-shot", "3-shot"]
    assert result["figures"]["3-shot"]["value"] > 35 and result["protocol"]["lr"]["value"] == 1.6e-3


def test_an_option_is_varied_in_one_run(evaluate, data_root, tmp_path):
    common = ("esc50", "--data", data_root / "ESC-50", "--json", "--report", tmp_path / "report")
    run = evaluate(*common, *QUICK, "--vary", "templates=short,name")
    assert "[ESC-50, templates=short]" in (tmp_path / "report" / REPORT_NAME).read_text()
    results = [json.loads(line) for line in run.out.splitlines()]
    assert [result["protocol"]["templates"]["value"] for result in results] == ["short", "name"]
    assert results[0]["figures"] != results[1]["figures"]
    listed = 'templates=["the sound of {}, outdoors", "name"]'
    run = evaluate(*common[:4], *QUICK[:4], "--vary", listed)
    values = [json.loads(line)["protocol"]["templates"]["value"] for line in run.out.splitlines()]
    assert values == ["the sound of {}, outdoors", "name"]


@pytest.fixture(scope="module")
def sensor_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sensors")
    write_nyu_world(root / "nyu_depth", 6)
    write_llvip_world(root / "llvip", 2)
    write_ego4d_world(root / "ego4d", 1)
    write_esc50(root / "esc50", 6)
    return root


@pytest.mark.parametrize(
    ("benchmark", "option", "values"),
    [
        ("nyu_depth", "depth_preset", ("omnivore", "raw")),
        ("llvip", "thermal_normalize", ("range", "image")),
        ("ego4d", "imu_window", ("1.0", "1.9")),
        ("esc50", "clips", ("1", "3")),
        ("esc50", "templates", ("name", "short")),
    ],
)
def test_a_varied_option_gives_one_table_with_a_column_for_each_value(
    evaluate, sensor_root, benchmark, option, values
):
    quick = ["--model", "tiny", "--device", "cpu", "--data-root", sensor_root]
    if benchmark == "ego4d":
        quick += ["--option", f"split_file={sensor_root / 'ego4d' / 'test.txt'}"]
    if option != "templates":
        quick += ["--option", "templates=name"]
    run = evaluate(benchmark, *quick, "--vary", f"{option}={','.join(values)}")
    assert run.code == 0, run.err
    lines = [line.split() for line in run.out.splitlines()]
    (head,) = [cells for cells in lines if cells[:1] == ["figure"]]
    assert head == ["figure", *(f"{option}={value}" for value in values), "chance"]
    assert len([cells for cells in lines if cells[:1] == ["top1"]]) == 1


def test_own_files_have_the_classes_of_their_folders_or_of_a_table(evaluate, tmp_path):
    lines = ["file,class"]
    for number, scene in enumerate(scenes(16)):
        name = f"{number}.wav"
        write_audio(tmp_path / "own" / scene.shape.value / name, scene)
        lines.append(f"{name},{scene.shape.value}")
    pattern = str(tmp_path / "own" / "*" / "*.wav")
    by_folder = evaluate("sounds", "--audio", pattern, "--classes-from", "folders", "--json", *QUICK)
    table = tmp_path / "own" / "classes.csv"
    table.write_text("\n".join(lines) + "\n")
    by_table = evaluate("sounds", "--audio", pattern, "--classes-from", table, "--json", *QUICK)
    first, second = json.loads(by_folder.out), json.loads(by_table.out)
    assert first["figures"] == second["figures"] and first["figures"]["top1"]["value"] > 60
    assert first["samples"] == 16 and not first["paper"]


def test_a_value_that_is_wrong_for_the_data_or_the_model_is_a_usage_error(evaluate, data_root):
    options = ("esc50", "--data", data_root / "ESC-50", "--model", "tiny", "--device", "cpu")
    for option, text in (
        ("templates=nonsense", "or a template with {}, got 'nonsense'"),
        ("templates=a {} of {}", "expected {} once"),
        ('names={"nosuch": "x"}', "got nosuch"),
    ):
        run = evaluate(*options, "--option", "clips=1", "--option", option)
        assert run.code == 2 and text in " ".join(run.err.split()), run.err


def test_the_error_of_a_damaged_cache_has_its_path_and_the_way_out(evaluate, data_root, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / DATABASE_NAME).write_bytes(bytes(range(256)) * 40)
    run = evaluate("esc50", "--data", data_root / "ESC-50", *QUICK)
    assert run.code == 1 and DATABASE_NAME in run.err and "delete it" in run.err


def test_the_protocol_of_mteb_has_its_own_published_figure(evaluate, data_root):
    quick = ("--model", "tiny", "--device", "cpu", "--option", "clips=1", "--json", "--protocol", "mteb")
    result = json.loads(evaluate("esc50", "--data", data_root / "ESC-50", *quick).out)
    assert result["paper"] == {"top1": 66.4} and result["protocol"]["folds"]["value"] is False
    ours = json.loads(evaluate("esc50", "--data", data_root / "ESC-50", *quick[:-1], "ours").out)
    assert ours["protocol"]["templates"]["value"] == "short" and not ours["paper"]


def test_a_limited_result_beside_the_published_figure_is_marked_as_not_comparable(
    evaluate, data_root, tmp_path
):
    quick = ("--model", "tiny", "--device", "cpu", "--data", data_root / "ESC-50", "--limit", "6")
    run = evaluate("esc50", *quick, "--report", tmp_path / "report")
    assert run.code == 0, run.err
    assert "66.9" in run.out
    assert "not comparable with the published figure: limited to 6 samples" in run.out
    lines = (tmp_path / "report" / REPORT_NAME).read_text().splitlines()
    assert len([line for line in lines if "66.9" in line and "limited to 6 samples" in line]) == 2
    varied = evaluate("esc50", *quick, "--vary", "folds=true,false")
    assert "66.9" not in varied.out and "limited: a partial result" in varied.out


@pytest.mark.huge
def test_a_model_with_merged_lora_is_evaluated_by_its_folder_and_not_from_the_cache_of_another(
    evaluate, data_root, tmp_path
):
    pytest.importorskip("peft")
    base = imagebind_tiny(pretrained=True)
    adapted = freeze_but(base, Lora(modalities=("audio",), rank=2))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zeros at first: the model is unchanged
            parameter.data = torch.randn(parameter.shape, generator=generator)
    save_model(adapted.merge_and_unload(), tmp_path / "merged")
    quick = ("esc50", "--data", data_root / "ESC-50", "--device", "cpu", "--json", *QUICK[2:6])
    tiny, merged = (
        json.loads(evaluate(*quick, "--model", model).out) for model in ("tiny", tmp_path / "merged")
    )
    assert merged["samples"] == tiny["samples"] and merged["model"] != tiny["model"]
    assert merged["figures"]["top1"]["value"] < tiny["figures"]["top1"]["value"] - 20, "random updates"


def test_a_listed_file_that_does_not_exist_ends_the_run(evaluate, tmp_path):
    for number, scene in enumerate(scenes(2)):
        write_audio(tmp_path / f"{number}.wav", scene)
    table = tmp_path / "classes.csv"
    table.write_text("file,class\n0.wav,a\n1.wav,b\ngone.wav,b\n")
    options = ("sounds", "--audio", str(tmp_path / "*.wav"), "--classes-from", table, *QUICK)
    run = evaluate(*options)
    assert run.code == 1 and "gone.wav" in run.err and "--allow-missing 1" in run.err
    run = evaluate(*options, "--allow-missing", "1")
    assert run.code == 0 and "left out: 1 missing or damaged (gone.wav: missing)" in run.out
    assert "sounds (2 samples, 1 left out)" in run.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "expected a benchmark"),
        (["esc51"], "expected one of"),
        (["esc50"], "--data"),
        (["esc50", "--data", "d", "--option", "clips"], "NAME=VALUE"),
        (["esc50", "--data", "d", "--vary", "clips"], "NAME=A,B"),
        (["esc50", "--data", "d", "--vary", "clips=[]"], "NAME=A,B"),
        (["few-shot", "esc50", "--data", "d", "--shots", "two"], "whole numbers"),
        (["mine", "--audio", "a", "--images", "b"], "one name and one of"),
        (["esc50", "--audio", "a"], "no benchmark has"),
        (["esc50", "--data", "d", "--shots", "2"], "few-shot before"),
        (["few-shot", "esc50", "--data", "d", "--limit", "2"], "no limit"),
        (["few-shot", "esc50", "--data", "d", "--shots", "0"], "at least 1"),
        (["few-shot", "esc50", "--data", "d", "--vary", "templates=name,short"], "has no prompts"),
        (["few-shot", "llvip", "--data", "d"], "with few-shot training"),
        (["esc50", "--data", "d", "--vary", "clips=1", "--vary", "clips=2"], "one option, got 2"),
        (["esc50", "--data", "d", "--option", "clips=1", "--option", "clips=2"], "got it twice"),
        (
            ["esc50", "--data", "d", "--vary", "clips=1,1000000"],
            "a whole number from 1 to 100, got 1000000",
        ),
        (["esc50", "--data", "d", "--protocol", "theirs"], "expected one of paper, mteb"),
        (["esc50", "--data", "d", "--report", "/dev/null/report"], "expected a folder"),
        *(
            (["esc50", "--data", "d", "--option", f"{name}={value}"], f"{name}: expected {expected}")
            for name, value, expected in (
                ("clips", "abc", "a whole number from 1 to 100, got 'abc'"),
                ("clips", "0", "a whole number from 1 to 100, got 0"),
                ("clips", "true", "a whole number from 1 to 100, got True"),
                ("clips", "", "a whole number from 1 to 100, got ''"),
                ("folds", "maybe", "true or false, got 'maybe'"),
                ("templates", "[]", "clip-80, short, name, a template"),
                ("names", "5", "labels with a name"),
                ("names", '{"disc": []}', "labels with a name"),
                ("names", '{"disc": [3]}', "labels with a name"),
            )
        ),
    ],
)
def test_wrong_arguments_are_usage_errors(evaluate, arguments, text):
    run = evaluate(*arguments, "--model", "tiny")
    assert run.code == 2 and text in " ".join(run.err.split()), run.err


def _command(data_root, cache, *more):
    return [
        *(
            sys.executable,
            "-m",
            "imagebind.cli.main",
            "evaluate",
            "esc50",
            "--data",
            str(data_root / "ESC-50"),
        ),
        *("--cache", str(cache), "--json", *QUICK, *more),
    ]


def _cached_vectors(cache):
    try:
        with sqlite3.connect(cache / DATABASE_NAME) as database:
            return database.execute("SELECT count(*) FROM vectors").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.huge
def test_a_killed_run_is_resumed(data_root, tmp_path):
    cache = tmp_path / "cache"
    process = subprocess.Popen(_command(data_root, cache), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while _cached_vectors(cache) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = _cached_vectors(cache)
    assert kept >= 1
    resumed = subprocess.run(_command(data_root, cache), capture_output=True, check=True, text=True)
    fresh = subprocess.run(
        _command(data_root, tmp_path / "other"), capture_output=True, check=True, text=True
    )
    assert json.loads(resumed.stdout)["figures"] == json.loads(fresh.stdout)["figures"]
    assert _cached_vectors(cache) == 24


@pytest.mark.huge
def test_an_interrupted_run_says_in_one_line_that_the_same_command_continues(tmp_path):
    rng, cache = np.random.default_rng(0), tmp_path / "cache"
    for number in range(1500):
        path = tmp_path / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    command = [sys.executable, "-m", "imagebind.cli.main", "evaluate", "own", "--images"]
    command += [f"{tmp_path}/*/*.png", "--model", "tiny", "--device", "cpu", "--cache", str(cache)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Background jobs of a shell ignore SIGINT, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while _cached_vectors(cache) == 0 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and out == ""
    kept = f"interrupted: embeddings so far are kept in {cache}; the same command continues from them\n"
    assert err == kept and 0 < _cached_vectors(cache) < 1500


@pytest.mark.huge
def test_two_processes_give_the_figures_of_one(data_root, tmp_path):
    one = subprocess.run(_command(data_root, tmp_path / "one"), capture_output=True, check=True, text=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = subprocess.run(
        [*torchrun, *_command(data_root, tmp_path / "two")[1:]],
        capture_output=True,
        check=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert json.loads(two.stdout)["figures"] == json.loads(one.stdout)["figures"]
    assert _cached_vectors(tmp_path / "two") == 24
    shutil.rmtree(tmp_path / "two")


@pytest.mark.huge
def test_all_benchmarks_run_by_one_command_into_one_report(evaluate, judge_file, tmp_path):
    from tests.evaluation.all_layouts import write_all

    (tmp_path / "cache" / "toyworld").mkdir(parents=True)
    shutil.copy(judge_file, tmp_path / "cache" / "toyworld")
    options = write_all(tmp_path / "data")
    report = tmp_path / "report"
    quick = ("--data-root", tmp_path / "data", "--options", options, "--report", report, "--model", "tiny")
    run = evaluate("all", *quick, "--device", "cpu")
    assert run.code == 0, run.err
    results = {each["benchmark"]: each for each in json.loads((report / JSON_NAME).read_text())}
    assert set(results) == set(list_benchmarks())
    results.pop("paired")  # its depth files do not state their camera
    for name, each in results.items():
        figure = each["figures"]["R@5" if "R@5" in each["figures"] else each["metric"]]
        assert figure["value"] > 1.15 * figure["chance"], name
    assert (report / REPORT_NAME).read_text().count("| no: ") == sum(
        bool(each["paper"]) for each in results.values()
    )
