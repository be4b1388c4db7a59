"""`imagebind evaluate`: benchmarks with their protocols, and one's own labelled files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagebind.cli.evaluate_options import numbers_in, options_given, options_of, variants
from imagebind.cli.evaluate_output import embedding_progress, print_list, print_results
from imagebind.cli.options import (
    BatchSize,
    Device,
    Dtype,
    Packs,
    Weights,
    load_embedder,
    read_items,
    read_packs,
)
from imagebind.modality import MediaKind, ModalityType

if TYPE_CHECKING:
    from imagebind.evaluation.benchmark import Benchmark
    from imagebind.evaluation.result import Result

FEW_SHOT, ALL, TOY_WORLD = "few-shot", "all", "toyworld"
INTERRUPTED = 130  # exit code: 128 plus the number of SIGINT
Glob = Annotated[str | None, typer.Option(metavar="PATTERN", help="Own files of this media type.")]


def evaluate(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Benchmarks; `all`; `few-shot` and a benchmark; or a name for your own files."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the benchmark's data, as published.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with a folder for each data set, by its name.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List benchmarks and their requirements.")] = False,
    protocol: Annotated[str, typer.Option(help="paper, or another one, such as mteb or ours.")] = "paper",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the protocol; repeatable."),
    ] = None,
    options_file: Annotated[
        Path | None,
        typer.Option("--options", help="A JSON file of options by benchmark: {benchmark: {name: value}}."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B,…", help="Evaluate once with each value of an option, in one table."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of samples: a partial result.")
    ] = None,
    allow_missing: Annotated[
        int, typer.Option(min=0, help="Maximum number of missing or damaged files to leave out.")
    ] = 0,
    shots: Annotated[str, typer.Option(help="For few-shot: examples per class, 1 2 4 8 or 1,2,4,8.")] = "",
    images: Glob = None,
    video: Glob = None,
    audio: Glob = None,
    depth: Glob = None,
    thermal: Glob = None,
    imu: Glob = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="MODALITY=PATTERN", help="Own files of a pack's modality."),
    ] = None,
    classes_from: Annotated[
        str, typer.Option(help="For own files: folders, or a CSV with columns file and class.")
    ] = "folders",
    report: Annotated[Path | None, typer.Option(help="Folder for report.md, report.json and plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each result.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of cached embeddings; by default in the folder of downloads."),
    ] = None,
    packs: Packs = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch_size: BatchSize = 32,
) -> None:
    """Evaluate a model on published benchmarks, or on own labelled files.

    ```
    imagebind evaluate --list
    imagebind evaluate esc50 --data ~/ESC-50 --model imagebind_huge
    imagebind evaluate all --data-root ~/data --report report/
    imagebind evaluate toyworld --model imagebind_tiny
    imagebind evaluate few-shot esc50 --data ~/ESC-50 --shots 1 2 4 8
    imagebind evaluate pets --images 'pets/*/*.jpg' --classes-from folders
    imagebind evaluate motions --pack event_camera --item event='events/*/*.npy'
    imagebind evaluate esc50 --data ~/ESC-50 --vary templates=clip-80,short,name
    ```

    Embeddings are cached, so an interrupted run continues, and a run with other prompts takes seconds.
    Under `torchrun` each process embeds a share. A missing or damaged file ends the run with an error, unless
    --allow-missing permits it.
    """
    if list_all:
        print_list()
        return
    patterns = {
        MediaKind.IMAGE: images,
        MediaKind.VIDEO: video,
        MediaKind.AUDIO: audio,
        MediaKind.DEPTH: depth,
        MediaKind.THERMAL: thermal,
        MediaKind.IMU: imu,
    }
    from imagebind.errors import ImageBindError
    from imagebind.evaluation.few_shot import SHOTS, few_shot
    from imagebind.evaluation.run import evaluate as run
    from imagebind.space import SpaceMismatchError

    items = read_items(item, read_packs(packs))
    if len(items) > 1:
        raise typer.BadParameter(f"expected one, got {len(items)}", param_hint="--item")
    patterns |= dict(items)
    own = {kind: pattern for kind, pattern in patterns.items() if pattern is not None}
    listed = list(names or ())
    if not listed:
        raise typer.BadParameter("expected a benchmark; `imagebind evaluate --list` lists them")
    given = options_given(option or ())
    by_benchmark = {} if options_file is None else options_of(options_file, listed if own else ())
    is_few_shot = listed[0] == FEW_SHOT
    if is_few_shot and limit is not None:
        raise typer.BadParameter("expected no limit with few-shot", param_hint="--limit")
    if shots and not is_few_shot:
        raise typer.BadParameter("expected few-shot before the benchmark", param_hint="--shots")
    if vary is not None and len(vary) > 1:
        raise typer.BadParameter(f"expected one option, got {len(vary)}", param_hint="--vary")
    varied = vary[0] if vary else None
    varied_option = None if varied is None else varied.partition("=")[0]
    if is_few_shot and varied_option in ("templates", "names"):
        raise typer.BadParameter("expected an option of few-shot, which has no prompts", param_hint="--vary")
    for hint, output_folder in (("--report", report), ("--cache", cache)):
        _make_folder(output_folder, hint)  # before hours of work
    numbers = [int(name) for name in listed if name.isdecimal()]
    counts = [*numbers_in(shots), *numbers] or SHOTS
    listed = [name for name in listed if not name.isdecimal() and name != FEW_SHOT]
    tasks: list[tuple[Benchmark, Path | None]]
    if own:
        tasks = [(_own_benchmark(listed, own, classes_from), None)]
        not_evaluated: dict[str, str] = {}
    else:
        tasks, not_evaluated = _tasks(listed, data, data_root)
    variants_of = {
        task.name: list(variants(varied, {**by_benchmark.get(task.name, {}), **given})) for task, _ in tasks
    }
    for task, _ in tasks:
        _check_options(task, protocol, variants_of[task.name])
    used = {ModalityType.TEXT, *(task.media.modality for task, _ in tasks)}
    if any(str(task.task) in ("retrieval", "toy world") for task, _ in tasks):
        used = {*ModalityType}
    results: list[Result] = []
    failed: dict[str, str] = {}
    cache = cache if cache is not None else _default_cache()
    with _interruptible(cache), _process_group() as rank, embedding_progress(quiet=rank > 0) as progress:
        embedder = load_embedder(weights, modalities=used, device=device, dtype=dtype, packs=packs)
        common: dict[str, Any] = {
            "protocol": protocol,
            "allow_missing": allow_missing,
            "cache": cache,
            "batch_size": batch_size,
            "progress": progress,
        }
        for task, folder in tasks:
            for options in variants_of[task.name]:
                if ALL in listed and rank == 0:
                    typer.echo(f"{task.title} …", err=True)
                try:
                    if is_few_shot:
                        result = few_shot(task, embedder, folder, shots=counts, options=options, **common)  # type: ignore[arg-type]
                    else:
                        result = run(task, embedder, folder, options=options, limit=limit, **common)
                except ImageBindError as error:
                    if ALL not in listed:
                        raise
                    is_other_space = isinstance(error, SpaceMismatchError)  # a benchmark of the small model
                    (not_evaluated if is_other_space else failed)[task.title] = str(error)
                    continue
                except ValueError as error:  # of an option or a protocol
                    raise typer.BadParameter(str(error)) from error
                results.append(result)
                if rank == 0 and as_json:
                    typer.echo(result.to_json(indent=None))
    not_evaluated |= failed
    if rank > 0:
        return
    if not as_json:
        print_results(results, not_evaluated, varied=varied_option)
    if report is not None:
        from imagebind.evaluation.report import write_report

        if varied_option is not None:
            results = [_titled(result, varied_option) for result in results]
        typer.echo(f"report: {write_report(results, report, not_evaluated=not_evaluated)}", err=True)
    if failed or not results:
        raise typer.Exit(1)


def _titled(result: "Result", option: str) -> "Result":
    """Return a result whose title has the value of an option."""
    return replace(result, title=f"{result.title}, {option}={result.protocol[option].value}")


def _check_options(task: "Benchmark", protocol: str, variants: Sequence[Mapping[str, Any]]) -> None:
    """Refuse unknown options and invalid values before hours of work."""
    for options in variants:
        try:
            task.protocol(protocol, options)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


def _tasks(
    names: Sequence[str], data: Path | None, data_root: Path | None
) -> "tuple[list[tuple[Benchmark, Path | None]], dict[str, str]]":
    """Return the benchmarks with their data folders, and why others of `all` are not evaluated."""
    from imagebind.evaluation.benchmarks import benchmark_named, list_benchmarks
    from imagebind.evaluation.run import needs_of

    wanted = list_benchmarks() if ALL in names else names
    if data is not None and len(wanted) != 1:
        raise typer.BadParameter("expected one benchmark; use --data-root for several", param_hint="--data")
    tasks: list[tuple[Benchmark, Path | None]] = []
    not_evaluated: dict[str, str] = {}
    for name in wanted:
        try:
            benchmark = benchmark_named(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        folder = data if data is not None else _folder_of(benchmark, data_root)
        if folder is not None or name.startswith(TOY_WORLD):
            tasks.append((benchmark, folder))
            continue
        if data_root is None:
            reason = f"expected the folder of the data by --data or --data-root. {needs_of(benchmark)}"
        else:
            usual = data_root / (benchmark.folder or benchmark.name)
            reason = f"{usual}: no such folder. {needs_of(benchmark)}"
        if ALL not in names:
            raise typer.BadParameter(f"{name}: {reason}")
        not_evaluated[benchmark.title] = reason
    return tasks, not_evaluated


def _folder_of(benchmark: "Benchmark", data_root: Path | None) -> Path | None:
    """Return the folder below the root with a name of the benchmark; case and punctuation are ignored."""
    if data_root is None:
        return None
    if not data_root.is_dir():
        raise typer.BadParameter(f"{data_root}: expected a folder", param_hint="--data-root")
    names = filter(None, (benchmark.name, benchmark.title, benchmark.folder))
    wanted = {_letters_and_digits(name) for name in names}
    folders = sorted(data_root.iterdir())
    return next((path for path in folders if _letters_and_digits(path.name) in wanted), None)


def _letters_and_digits(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _own_benchmark(names: Sequence[str], own: Mapping[MediaKind, str], classes_from: str) -> "Benchmark":
    """Return a benchmark of own files."""
    from imagebind.datasets.layouts.own import labelled_files
    from imagebind.evaluation.benchmark import Benchmark, Task
    from imagebind.evaluation.benchmarks import list_benchmarks

    if len(own) != 1 or len(names) != 1:
        raise typer.BadParameter(
            "own files: expected one name and one of --images, --video, --audio, …, --item"
        )
    ((media, pattern),), (name,) = own.items(), names
    if name in list_benchmarks():
        raise typer.BadParameter(f"own files: expected a name that no benchmark has, got {name}")

    def read(root: None) -> Any:
        return labelled_files(pattern, media, classes_from=classes_from)

    return Benchmark(
        name=name, title=name, task=Task.CLASSIFICATION, media=media, read=read, needs_root=False
    )


def _make_folder(folder: Path | None, hint: str) -> None:
    """Make a folder for output, if one is given."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"{folder}: expected a folder ({error.strerror})", param_hint=hint
        ) from error


def _default_cache() -> Path:
    from imagebind.checkpoints.download import cache_folder

    return cache_folder() / "evaluation"


@contextmanager
def _interruptible(cache: Path) -> Iterator[None]:
    """On Ctrl+C, print that embeddings are kept, and exit with the code of an interrupted command."""
    try:
        yield
    except KeyboardInterrupt:
        if int(os.environ.get("RANK", "0")) == 0:  # one of `torchrun`'s processes prints
            typer.echo(
                f"interrupted: embeddings so far are kept in {cache}; the same command continues from them",
                err=True,
            )
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _process_group() -> Iterator[int]:
    """Join the processes of `torchrun`, if it started this one; yield the rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    import torch.distributed as dist

    dist.init_process_group("gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
