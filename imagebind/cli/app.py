"""`imagebind app`: the web page of an index."""

from typing import Annotated

import typer

from imagebind.cli.options import Device, Dtype, Weights, load_embedder, weights_for
from imagebind.modality import ModalityType


def app(
    db: Annotated[str, typer.Argument(help="An index made by `imagebind index`: a folder or a URI.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 allows other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 7860,
    max_upload_mb: Annotated[
        int,
        typer.Option("--max-upload-mb", min=1, help="Limit for an upload, in MiB."),
    ] = 100,
    weights: Weights = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Serve an index as a web page: search by any media type, labels, detection and a map. Ctrl+C ends it.

    ```
    imagebind app media.lance
    imagebind app media.lance --weights tiny --port 8000
    ```

    The page needs no network, and by default only this machine can reach it. It serves only files that are in
    the index. It embeds uploads and does not keep them.
    """
    from rich.console import Console
    from rich.text import Text

    from imagebind.search import Index
    from imagebind.search.app.serve import is_loopback, listen, serve

    console = Console(stderr=True, highlight=False)
    weights = weights_for(Index.open(db), weights)  # before loading the model, so a wrong path fails at once
    with listen(host, port) as opened:
        if not is_loopback(host):
            warning = (
                f"warning: all machines that can reach {host} can search this index and read its files; "
                "there is no password"
            )
            console.print(Text(warning, style="yellow"), soft_wrap=True)
        with console.status("loading the model"):
            embedder = load_embedder(weights, modalities=ModalityType, device=device, dtype=dtype)
            index = Index.open(db, embedder)
        serve(
            index,
            opened,
            host=host,
            max_upload_mb=max_upload_mb,
            on_start=lambda url: console.print(f"{url} shows {db}; Ctrl+C ends it", soft_wrap=True),
        )
