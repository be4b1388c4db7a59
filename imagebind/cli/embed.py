"""`imagebind embed`: embed files and folders into one file, or with a Ray cluster into many files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.cli.engine import Actors, Engine, EngineName, Partitions, RayAddress, check_local
from imagebind.cli.files import Maps, error_path, left_out, print_failures, print_warnings, read_maps
from imagebind.cli.options import (
    BatchSize,
    Device,
    Dtype,
    Modality,
    Packs,
    Weights,
    load_embedder,
    read_modality,
    read_packs,
)
from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from imagebind.intake.mapping import PathMapping


def embed(
    paths: Annotated[list[str], typer.Argument(help="Files and folders, by path or URI.")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            help="A .parquet, .jsonl or .npz file to write, by path or URI; with --engine ray a folder.",
        ),
    ],
    modality: Modality = None,
    maps: Maps = None,
    packs: Packs = None,
    clips: Annotated[bool, typer.Option("--clips", help="Write a row for each clip of a recording.")] = False,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch_size: BatchSize = 32,
    engine: EngineName = Engine.LOCAL,
    partitions: Partitions = None,
    actors: Actors = None,
    ray_address: RayAddress = None,
) -> None:
    """Embed files of any media type into one space; a row has path, modality, start, end and vector.

    Files that cannot be read are listed at the end and in OUT.errors.jsonl, for a URI in the working folder;
    all others are embedded. The exit code is 1 if any file cannot be read. The same file lists warnings about
    embedded files, such as a damaged part. Files in a folder that are not media are only counted. If no file
    can be embedded, earlier output stays.

    With `--engine ray`, a Ray cluster embeds the files. Inputs may also be Parquet files with a column `path`
    or `bytes`, WebDataset `.tar` shards, and object stores. The output is a folder of Parquet files, with
    failures in its folder `_errors`. The same command resumes an interrupted run.

    ```
    imagebind embed photos/ recordings/ --out embeddings.parquet
    imagebind embed scans/*.png --modality depth --out depth.npz
    imagebind embed scenes/ --map '**/depth.png=depth' --map '**/*.tiff=thermal' --out scenes.parquet
    imagebind embed talk.mp4 --clips --out talk.jsonl
    imagebind embed events/ --pack event_camera --modality event --out events.parquet
    imagebind embed s3://bucket/media shards/*.tar --out s3://bucket/vectors --engine ray
    ```
    """
    bound = read_packs(packs)
    mappings, kind = read_maps(maps, bound), read_modality(modality, bound)
    if engine is Engine.RAY:
        from imagebind.cli.embed_ray import embed_on_ray

        if mappings:
            raise typer.BadParameter("not available with --engine ray; use --modality", param_hint="--map")
        if packs:
            raise typer.BadParameter("not available with --engine ray", param_hint="--pack")
        embed_on_ray(
            paths,
            out,
            modality=kind,
            clips=clips,
            weights=weights,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            partitions=partitions,
            actors=actors,
            address=ray_address,
        )
        return
    check_local(partitions, actors, ray_address)
    _embed_locally(
        paths,
        out,
        modality=kind,
        mappings=mappings,
        packs=packs,
        clips=clips,
        weights=weights,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
    )


def _embed_locally(
    paths: Sequence[str],
    out: str,
    *,
    modality: MediaKind | None,
    mappings: "Sequence[PathMapping]",
    packs: Sequence[str] | None,
    clips: bool,
    weights: str | None,
    device: str | None,
    dtype: str,
    batch_size: int,
) -> None:
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from imagebind.failures import Failure, FileWarning, error_file
    from imagebind.intake.files import collect_requests
    from imagebind.io.store_path import as_path
    from imagebind.vectors import VectorFile, check_suffix, rows_of

    try:
        check_suffix(out)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error
    errors = error_path(out)
    errors.unlink(missing_ok=True)  # of an earlier run
    collected = collect_requests(
        paths,
        modality=modality,
        mappings=mappings,
        without=[as_path(out), errors],
        bound=read_packs(packs),
    )
    requests = collected.requests
    failures = [Failure.of(error.item, error) for error in collected.failures]
    warnings: list[tuple[str, str]] = []
    console = Console(stderr=True)
    done = 0
    if requests:
        embedder = load_embedder(
            weights,
            modalities={request.kind.modality for request in requests},
            device=device,
            dtype=dtype,
            packs=packs,
        )
        stream = embedder.encode_stream(requests, batch_size=batch_size, clips=clips)
        with VectorFile(out, embed_dim=embedder.embed_dim) as file:
            for result in track(stream, "Embedding", total=len(requests), console=console):
                if result.error is not None:
                    failures.append(Failure.of(result.name, result.error))
                    continue
                done += 1
                warnings += [(result.name, text) for text in result.warnings]
                for row in rows_of(result):
                    file.write(row)
            if not done:
                file.discard()
    summary = f"{done} of {done + len(failures)} files embedded" + (f" into {out}" if done else "")
    console.print(Text(summary), soft_wrap=True)
    if collected.not_media:
        console.print(Text(left_out(collected.not_media)), soft_wrap=True)
    with error_file(errors) as log:
        for failure in failures:
            log.write(failure)
        for name, text in warnings:
            log.write(FileWarning(path=name, warning=text))
    print_warnings(console, warnings, where=errors)
    print_failures(console, failures, where=errors)
    if failures or not done:
        raise typer.Exit(1)
