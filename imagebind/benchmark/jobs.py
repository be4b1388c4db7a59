"""Jobs that are measured in their own process: `python -m imagebind.benchmark.jobs JOB ARGUMENT…`.

Each job takes strings and returns a dict. The process prints it as one line of JSON, with its own peak memory
in bytes as `peak`. A job imports its modules before it measures time.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from imagebind.benchmark.timing import peak_bytes, seconds

READ_CHUNK_BYTES = 16 * 2**20  # per call in `read_file`


def make_weights(path: str, size: str) -> dict[str, float]:
    """Write a model with random weights in the format of the released file."""
    import torch

    from imagebind.benchmark.sizes import SIZES
    from imagebind.checkpoints.loading import save_state_dict
    from imagebind.models.model import ImageBindModel

    torch.manual_seed(0)
    model = ImageBindModel(SIZES[size].config)
    return {"seconds": seconds(lambda: save_state_dict(model.state_dict(), path))}


def read_file(path: str) -> dict[str, float]:
    """Read a file from start to end, as `cat` does."""

    def read() -> None:
        with Path(path).open("rb", buffering=0) as file:
            while file.read(READ_CHUNK_BYTES):
                pass

    return {"seconds": seconds(read)}


def load(path: str, size: str, mmap: str = "") -> dict[str, float]:
    """Load a model as the library does, then read every weight: mapped pages count as memory once read.

    Args:
        mmap: "mmap" maps the file into memory; by default the file is read.
    """
    from imagebind.benchmark.sizes import SIZES
    from imagebind.checkpoints.loading import load_into
    from imagebind.models.model import ImageBindModel

    import_peak = peak_bytes()
    models: list[ImageBindModel] = []
    load_seconds = seconds(
        lambda: models.append(
            load_into(ImageBindModel(SIZES[size].config, device="meta"), path, mmap=mmap == "mmap").eval()
        )
    )
    load_peak = peak_bytes()
    touch_seconds = seconds(lambda: [tensor.sum() for tensor in models[0].state_dict().values()])
    return {
        "seconds": load_seconds,
        "touch_seconds": touch_seconds,
        "import_peak": import_peak,
        "load_peak": load_peak,
    }


def load_naively(path: str, size: str) -> dict[str, float]:
    """Build a model with random weights, read the file, and copy the file's weights into the model."""
    import torch

    from imagebind.benchmark.sizes import SIZES
    from imagebind.models.model import ImageBindModel

    def load_all() -> None:
        model = ImageBindModel(SIZES[size].config)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    return {"seconds": seconds(load_all)}


def text_trunk(folder: str, size: str) -> dict[str, float]:
    """Embed a few captions with only the text trunk, loaded from files split by trunk."""
    from imagebind.benchmark.captions import captions
    from imagebind.benchmark.sizes import SIZES
    from imagebind.checkpoints.loading import load_into
    from imagebind.embedder import Embedder
    from imagebind.models.model import ImageBindModel

    def embed() -> None:
        model = ImageBindModel(SIZES[size].config, modalities=["text"], device="meta")
        Embedder(load_into(model, folder)).encode(captions(8))

    return {"seconds": seconds(embed)}


def tokenize(count: str) -> dict[str, float]:
    """Load the vocabulary; tokenise captions with an empty cache, then again, then others with new words."""
    from imagebind.benchmark.captions import captions, with_new_words
    from imagebind.transforms.text import Tokenizer, vocabulary

    plain = captions(int(count))
    changed = with_new_words(plain)
    tokenizer = Tokenizer()
    return {
        "vocabulary": seconds(vocabulary),
        "cold": seconds(lambda: tokenizer(plain)),
        "warm": seconds(lambda: tokenizer(plain)),
        "new_words": seconds(lambda: tokenizer(changed)),
    }


def video_imports(path: str) -> dict[str, float]:
    """Import the modules of the other video jobs, to measure the memory of the imports alone."""
    from imagebind.benchmark import video  # noqa: F401

    return {}


def video_ours(path: str) -> dict[str, float]:
    """Load the clips of a video with the library."""
    from imagebind.benchmark import video

    return {"seconds": seconds(lambda: video.picked_frames(Path(path)))}


def video_all_frames(path: str) -> dict[str, float]:
    """Load the clips of a video by converting all frames of each clip before picking some."""
    from imagebind.benchmark import video

    return {"seconds": seconds(lambda: video.all_frames(Path(path)))}


def gradient_cache(size: str, batch: str) -> dict[str, float]:
    """Compute the audio gradients of one batch in chunks, with random vision embeddings."""
    import torch

    from imagebind.benchmark.forward import example_input
    from imagebind.benchmark.sizes import SIZES
    from imagebind.losses import InfoNCE
    from imagebind.modality import ModalityType
    from imagebind.models.model import ImageBindModel
    from imagebind.training.gradient_cache import LazyChunks, cached_loss_step

    chosen = SIZES[size]
    model = ImageBindModel(chosen.config, modalities=[ModalityType.AUDIO])
    vision = torch.randn(int(batch), chosen.config.embed_dim)
    chunks = LazyChunks(
        items=list(range(int(batch))),
        load=lambda rows: (vision[rows], example_input(chosen.config, ModalityType.AUDIO, len(rows))),
        chunk_size=chosen.batch,
    )
    loss = InfoNCE(temperature=0.05)

    def embed(chunk: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return chunk[0], model.embed(ModalityType.AUDIO.value, chunk[1][:, None])  # (b, ...) -> (b, 1, ...)

    return {"seconds": seconds(lambda: cached_loss_step(embed, chunks, loss))}


def crawl_folder(parent: str, media: str) -> dict[str, float]:
    """Index the folder `media` into a temporary index, which is created in the folder `parent`."""
    import tempfile

    from imagebind.benchmark.crawl import MAPPINGS, world_embedder
    from imagebind.search.crawl.crawler import crawl
    from imagebind.search.index import Index

    with tempfile.TemporaryDirectory(dir=parent) as folder:
        index = Index.open(Path(folder) / "db", world_embedder(), create=True)
        return {"seconds": seconds(lambda: crawl(index, [media], mappings=MAPPINGS))}


def moments_of_video(path: str) -> dict[str, float]:
    """Embed the windows of a video."""
    from imagebind.benchmark.crawl import world_embedder
    from imagebind.benchmark.moments import vectors_of

    embedder = world_embedder()
    return {"seconds": seconds(lambda: vectors_of(embedder, Path(path)))}


JOBS: dict[str, Callable[..., dict[str, float]]] = {
    job.__name__: job
    for job in (
        make_weights,
        read_file,
        load,
        load_naively,
        text_trunk,
        tokenize,
        video_imports,
        video_ours,
        video_all_frames,
        gradient_cache,
        crawl_folder,
        moments_of_video,
    )
}

if __name__ == "__main__":
    result = JOBS[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps(result | {"peak": peak_bytes()}) + "\n")
