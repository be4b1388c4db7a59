"""`imagebind weights`: download, verify and convert weights."""

from pathlib import Path
from typing import Annotated

import typer

from imagebind.cli.options import WEIGHTS_HELP, config_of, source_of

weights = typer.Typer(
    help="Download, verify or convert weights.", no_args_is_help=True, rich_markup_mode="markdown"
)

CacheDirOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Cache folder; by default below TORCH_HOME or HF_HOME."),
]


@weights.command()
def download(cache_dir: CacheDirOption = None) -> None:
    """Download the released weights, unless they are in `./.checkpoints` or the cache, and print their path.

    They have 4.8 GB and are verified; an interrupted download resumes. Their licence is CC BY-NC-SA 4.0: not
    for commercial use.

    ```
    imagebind weights download
    imagebind weights download --cache-dir /data/models
    ```
    """
    from imagebind.checkpoints.download import WEIGHTS_LICENCE
    from imagebind.checkpoints.download import download as fetch

    typer.echo(WEIGHTS_LICENCE, err=True)
    typer.echo(fetch(cache_dir=cache_dir))


@weights.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A copy of imagebind_huge.pth.")],
) -> None:
    """Check by size and SHA-256 that a file is the released one.

    ```
    imagebind weights verify ~/.cache/torch/hub/checkpoints/imagebind_huge.pth
    ```
    """
    from imagebind.checkpoints.download import verify as check

    check(path)
    typer.echo(f"{path} is the released file")


@weights.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="Output folder for one safetensors file per modality.")],
    source: Annotated[
        str | None, typer.Option("--weights", "-w", metavar="SOURCE", help=WEIGHTS_HELP)
    ] = None,
) -> None:
    """Split weights by modality, so that a command reads only the trunks that it needs.

    The config.json of a saved model is copied.

    ```
    imagebind weights convert imagebind_huge/
    imagebind weights convert mine/ --weights mine.pth
    imagebind weights convert tiny/ --weights tiny
    imagebind compare --text "A dog." --image dog.jpg --weights imagebind_huge/
    ```
    """
    from imagebind.checkpoints.loading import convert as split

    source = source_of(source)
    config = config_of(source)
    for path in split(source, folder, config=None if config is None else config.to_dict()):
        typer.echo(f"{path}  {path.stat().st_size:,} bytes")
