"""Load Stable unCLIP from a folder or the Hugging Face Hub, and list missing files."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from imagebind.applications.unclip import StableUnclip, check_width, image_embedding_norm, rendered_images
from imagebind.checkpoints.tensors import read_json
from imagebind.device import CPU, best_device
from imagebind.errors import CheckpointError, import_extra
from imagebind.io.uri import is_offline

REPOSITORY = "sd2-community/stable-diffusion-2-1-unclip"  # on the Hugging Face Hub
REPOSITORY_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
EXTRA = "generate"
PURPOSE = "Stable unCLIP"
PIPELINE_CLASS = "StableUnCLIPImg2ImgPipeline"  # of diffusers
INDEX_NAME = "model_index.json"
SETTINGS_NAMES = {  # folder of a component -> the file of its settings
    "feature_extractor": "preprocessor_config.json",
    "image_encoder": "config.json",
    "image_noising_scheduler": "scheduler_config.json",
    "image_normalizer": "config.json",
    "scheduler": "scheduler_config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "unet": "config.json",
    "vae": "config.json",
}
WITH_WEIGHTS = ("image_encoder", "image_normalizer", "text_encoder", "unet", "vae")
WEIGHTS_SUFFIXES = (".safetensors", ".bin")
HALF_VARIANT = "fp16"  # in the names of weights in half precision: model.fp16.safetensors


def load_unclip(
    source: str | os.PathLike[str] = REPOSITORY,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: bool = False,
    embedding_norm: float | None = None,
    embed_dim: int | None = None,
) -> StableUnclip:
    """Return Stable unCLIP as a decoder; `dataclasses.replace` sets its options.

    Args:
        source: a folder with the files of diffusers' `StableUnCLIPImg2ImgPipeline`, which needs no network,
            or a repository of the Hugging Face Hub, which is downloaded once.
        device: by default the best available one.
        dtype: the precision of the weights; by default half on an accelerator and single on a CPU.
        offload: keep in the accelerator's memory only the component that computes.
        embedding_norm: the norm to which embeddings are scaled; by default measured with the pipeline's image
            encoder on a few rendered images. `image_embedding_norm` measures it on other images.
        embed_dim: the expected number of values in an embedding; if given, it is checked before the weights
            are read.

    Raises:
        MissingExtraError: diffusers, transformers or, for `offload`, accelerate is not installed.
        CheckpointError: files are missing or damaged, or belong to another pipeline; the message names them.
        SpaceMismatchError: the pipeline's embeddings do not have `embed_dim` values.
        ValueError: `offload` on a CPU, or `embedding_norm` is not positive and finite.
    """
    device = torch.device(device or best_device())
    if offload and device.type == CPU:
        raise ValueError("offload: expected an accelerator, such as device='cuda', got cpu")
    import_extra("transformers", extra=EXTRA, purpose=PURPOSE)
    pipeline_class = import_extra("diffusers", extra=EXTRA, purpose=PURPOSE, attribute=PIPELINE_CLASS)
    if offload:
        import_extra("accelerate", extra=EXTRA, purpose="CPU offload")
    folder = _folder(source, pipeline_class)
    _check_files(folder)
    if embed_dim is not None:
        check_width(read_json(folder / "image_normalizer" / "config.json")["embedding_dim"], embed_dim)
    if dtype is None:
        dtype = torch.float32 if device.type == CPU else torch.float16
    try:
        with _quiet():
            pipeline = pipeline_class.from_pretrained(
                folder, dtype=dtype, variant=_variant(folder), local_files_only=True
            )
    except Exception as error:  # the type depends on the component and its file format
        raise CheckpointError(
            f"{folder}: expected the files of a {PIPELINE_CLASS}, got some that cannot be loaded "
            f"({_first_line(error)})"
        ) from error
    if offload:
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if embedding_norm is None:
        embedding_norm = image_embedding_norm(pipeline, rendered_images(), device=device)
    return StableUnclip(pipeline=pipeline, embedding_norm=embedding_norm, device=device)


def missing_files(folder: Path) -> list[str]:
    """Return the files of Stable unCLIP that a folder lacks, as paths relative to it."""
    missing = [
        f"{name}/{file}" for name, file in SETTINGS_NAMES.items() if not (folder / name / file).is_file()
    ]
    missing += [f"{name}/*.safetensors" for name in WITH_WEIGHTS if not _weights(folder / name)]
    return sorted(missing)


def _folder(source: str | os.PathLike[str], pipeline_class: Any) -> Path:
    """Return the folder with the files; download them if `source` is a repository."""
    path = Path(source)
    if path.is_dir():
        return path
    hint = (
        f"pass the repository {REPOSITORY} or a folder with its files: {INDEX_NAME} and the folders "
        f"{', '.join(SETTINGS_NAMES)}; with a network: hf download {REPOSITORY} --local-dir FOLDER"
    )
    if not REPOSITORY_NAME.fullmatch(os.fspath(source)):
        raise CheckpointError(f"{source}: no such folder; {hint}")
    try:
        with _quiet():
            return Path(pipeline_class.download(os.fspath(source), local_files_only=is_offline()))
    except Exception as error:  # raised by huggingface_hub, its HTTP library, or diffusers
        raise CheckpointError(
            f"{source}: no such folder, and not on this machine's disk or downloadable from the Hugging Face "
            f"Hub ({type(error).__name__}); {hint}"
        ) from error


def _check_files(folder: Path) -> None:
    index = folder / INDEX_NAME
    if not index.is_file():
        raise CheckpointError(f"{folder}: expected the files of a {PIPELINE_CLASS}, got no {INDEX_NAME}")
    content = read_json(index)
    found = content.get("_class_name") if isinstance(content, dict) else None
    if found != PIPELINE_CLASS:
        raise CheckpointError(
            f"{index}: expected {PIPELINE_CLASS}, as in {REPOSITORY}, got a pipeline {found}"
        )
    if missing := missing_files(folder):
        raise CheckpointError(f"{folder}: expected these files too: {', '.join(missing)}")


def _weights(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES]


def _variant(folder: Path) -> str | None:
    """Return `HALF_VARIANT` if the folder has the U-Net only in half precision, otherwise None."""
    names = _weights(folder / "unet")
    return HALF_VARIANT if all(f".{HALF_VARIANT}." in name for name in names) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide progress bars of reading local files, which takes seconds, and warnings that precede errors."""
    import diffusers
    import transformers

    libraries = [diffusers.utils.logging, transformers.utils.logging]
    states = [(library, library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, had_progress, verbosity in states:
            library.set_verbosity(verbosity)
            if had_progress:
                library.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]:.300}"
