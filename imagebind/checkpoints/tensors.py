"""Read the tensors of one weights file; check limits before memory is allocated.

If a mapped file is truncated, as `torch.save` to the same path does, the next access to its weights kills the
process. So by default the bytes of each tensor are copied to memory.
"""

import json
import math
import os
import pickletools
import stat
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imagebind.errors import CheckpointError
from imagebind.io.atomic import replacing

HEADER_LENGTH_BYTES = 8  # of safetensors, before its JSON
ZIP_HEADER_BYTES = 30  # of a record; the last four are the lengths of its name and its extra field
# Source of the limits: ours. The released model has 1,311 entries, whose names have 0.06 MB.
MAX_HEADER_BYTES = 8 * 2**20
MAX_JSON_BYTES = 8 * 2**20
MAX_RECORDS = 100_000
# Entries may share bytes, as tied weights do; their total size is at most this multiple of the file's.
MAX_REPETITION = 2
MIN_ENTRY_BYTES_CHECKED = 2**20  # smaller totals are not checked
MAX_TUPLES = 8  # nesting depth; hashing a few bytes of pairs nested 60 times would take years
TUPLE_OPCODES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")  # pickle opcodes
READ_THREADS = min(os.cpu_count() or 1, 4)  # allocating memory takes most of the time
MADE_BY_KEY = "made_by"  # of the metadata of cached tensors

ByteSpan = tuple[int, int]  # first byte in the file, number of bytes
IsWanted = Callable[[str], bool]


def regular_size(path: Path) -> int:
    """Return a regular file's size in bytes.

    Raises:
        CheckpointError: no file, a folder, or a pipe, device or socket, which might never end.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path}: expected a regular file, got {stat.filemode(status.st_mode)}")
    return status.st_size


def read_json(path: Path) -> Any:
    """Return the content of a regular JSON file of at most `MAX_JSON_BYTES`.

    Raises:
        CheckpointError: not a regular file, too long, or not JSON.
    """
    if (size := regular_size(path)) > MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: expected at most {MAX_JSON_BYTES:,} bytes, got {size:,}")
    try:
        with path.open("rb") as file:
            return json.loads(file.read(MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error!r:.200})") from error


def read_torch(path: Path, is_wanted: IsWanted, *, mmap: bool) -> dict[str, Tensor]:
    """Return the wanted entries of a file of `torch.save`. Other exceptions mean that the file is damaged.

    Raises:
        CheckpointError: as `_record_spans`, or not a plain state dict.
    """
    spans = _record_spans(path)
    if mmap:
        return _select_entries(
            path, torch.load(path, map_location="cpu", weights_only=True, mmap=True), is_wanted
        )
    described = torch.load(path, map_location="meta", weights_only=True, mmap=True)
    locations = _storage_spans(described, is_wanted)
    if not locations or not all(spans.get(start, -1) >= size for start, size in locations.values()):
        # torch before 2.7 does not report offsets, and a file of the other byte order must be converted
        return _select_entries(
            path, torch.load(path, map_location="cpu", weights_only=True, mmap=False), is_wanted
        )
    entries = _select_entries(path, described, is_wanted, is_described=True)
    buffers = read_spans(path, locations.values())
    return {
        name: _filled(tensor, buffers[locations[name]]) if name in locations else tensor
        for name, tensor in entries.items()
    }


def read_safetensors(path: Path, is_wanted: IsWanted, *, mmap: bool) -> dict[str, Tensor]:
    """Return the wanted entries of a safetensors file. Other exceptions mean that the file is damaged.

    Raises:
        CheckpointError: a header longer than `MAX_HEADER_BYTES`.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if MAX_HEADER_BYTES < length < path.stat().st_size:
            raise CheckpointError(
                f"{path}: expected a header of at most {MAX_HEADER_BYTES:,} bytes, got {length:,}"
            )
        header = b"" if length > MAX_HEADER_BYTES else file.read(length)
    with safe_open(path, framework="pt", device="cpu") as opened:  # checks sizes, bounds and overlaps
        mapped = {name: opened.get_tensor(name) for name in opened.keys() if is_wanted(name)}  # noqa: SIM118
    if mmap:
        return mapped
    described = json.loads(header)
    locations: dict[str, ByteSpan] = {}
    for name, tensor in mapped.items():
        start, end = described[name]["data_offsets"]
        if end - start != tensor.nbytes:
            raise ValueError(f"{name}: its offsets and its shape give different sizes")
        locations[name] = (HEADER_LENGTH_BYTES + length + start, tensor.nbytes)
    buffers = read_spans(path, locations.values())
    return {
        name: buffers[locations[name]].view(mapped[name].dtype).view(mapped[name].shape) for name in mapped
    }


def read_cached(path: Path, made_by: str) -> dict[str, Tensor] | None:
    """Return the tensors that `write_cached` wrote; None if missing, damaged or of another `made_by`."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            if file.metadata() != {MADE_BY_KEY: made_by}:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def write_cached(path: Path, tensors: dict[str, Tensor], made_by: str) -> None:
    """Write tensors for `read_cached`, with a text that identifies the code and settings that made them.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={MADE_BY_KEY: made_by})


def read_spans(path: Path, spans: Iterable[ByteSpan]) -> dict[ByteSpan, Tensor]:
    """Read parts of a file into separate tensors: {span: (n,) uint8}.

    Raises:
        OSError: the file cannot be read, or changes during the read.
    """
    distinct = list(dict.fromkeys(spans))
    before = path.stat()
    with ThreadPoolExecutor(READ_THREADS) as pool:
        buffers = list(pool.map(lambda span: _read_span(path, *span), distinct))
    after = path.stat()
    if any(getattr(before, key) != getattr(after, key) for key in ("st_ino", "st_size", "st_mtime_ns")):
        raise OSError(f"{path}: changed while it was read")
    return dict(zip(distinct, buffers, strict=True))


def _read_span(path: Path, start: int, size: int) -> Tensor:
    buffer = torch.empty(size, dtype=torch.uint8)
    view = memoryview(buffer.numpy().data)
    done = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while count := file.readinto(view[done:]):  # the system returns at most 2 GB at once
            done += count
    if done < size:
        raise OSError(f"{path}: expected at least {start + size:,} bytes, got {start + done:,}")
    return buffer


def _record_spans(path: Path) -> dict[int, int]:
    """Return {start: length} of the records in torch's zip, or {} if the byte order must be swapped.

    Raises:
        CheckpointError: compressed or too many records, records longer in total than the file, or tuples
            nested too deeply.
        zipfile.BadZipFile: the file is damaged.
    """
    spans: dict[int, int] = {}
    is_swapped = False
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        total = sum(record.file_size for record in records)
        packed = next((record for record in records if record.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None or total > path.stat().st_size or len(records) > MAX_RECORDS:
            raise CheckpointError(
                f"{path}: expected at most {MAX_RECORDS:,} uncompressed records of torch.save, in total no "
                f"longer than the file, got {len(records):,} records of {total:,} bytes"
                + (f", {packed.filename!r:.80} compressed" if packed else "")
            )
        for record in records:
            is_order = record.filename.endswith("/byteorder") and record.file_size < 16
            is_swapped |= is_order and archive.read(record) != sys.byteorder.encode()
            if record.filename.endswith(".pkl"):
                _check_tuples(path, archive.read(record))
            file.seek(record.header_offset)
            header = file.read(ZIP_HEADER_BYTES)
            lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            spans[record.header_offset + len(header) + lengths] = record.file_size
    return {} if is_swapped else spans


def _check_tuples(path: Path, pickled: bytes) -> None:
    """Run a pickle's opcodes on a stack that has each object's tuple nesting depth instead of the object.

    Raises:
        CheckpointError: a depth above `MAX_TUPLES`.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        taken = opcode.stack_before
        if opcode.name == "MARK":
            marks.append(len(stack))
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        else:
            is_marked = pickletools.markobject in taken
            at = marks.pop() - taken.index(pickletools.markobject) if is_marked else len(stack) - len(taken)
            depth = max(stack[at:], default=0) + (opcode.name in TUPLE_OPCODES)
            if depth > MAX_TUPLES:
                raise CheckpointError(
                    f"{path}: expected at most {MAX_TUPLES} levels of nested tuples, got more"
                )
            stack[at:] = [depth] * len(opcode.stack_after)


def _storage_spans(described: Any, is_wanted: IsWanted) -> dict[str, ByteSpan]:
    """Return the position of each entry's storage in the file, or {} if torch does not report it."""
    locations: dict[str, ByteSpan] = {}
    if isinstance(described, Mapping):
        for name, tensor in described.items():
            if isinstance(name, str) and is_wanted(name) and _is_plain(tensor):
                storage = tensor.untyped_storage()
                start = getattr(storage, "_checkpoint_offset", None)
                if start is None:
                    return {}
                locations[name] = (start, storage.nbytes())
    return locations


def _select_entries(
    path: Path, loaded: Any, is_wanted: IsWanted, *, is_described: bool = False
) -> dict[str, Tensor]:
    """Return the wanted entries of a loaded state dict.

    Raises:
        CheckpointError: not a state dict, or entries that are in total far larger than the file.
    """
    if not isinstance(loaded, Mapping) or not all(isinstance(name, str) for name in loaded):
        raise CheckpointError(f"{path}: expected a state dict, tensors by name, got {type(loaded).__name__}")
    for name, value in loaded.items():
        if not (_is_plain(value) if is_described else is_dense(value)):
            raise CheckpointError(
                f"{path}: expected only dense tensors with data, got {type(value).__name__} as {name!r}"
            )
    total, size = sum(tensor.nbytes for tensor in loaded.values()), path.stat().st_size
    if total > max(MAX_REPETITION * size, MIN_ENTRY_BYTES_CHECKED):
        raise CheckpointError(
            f"{path}: expected entries of at most {MAX_REPETITION} times the file's {size:,} bytes, "
            f"got {total:,}"
        )
    return {name: tensor.detach() for name, tensor in loaded.items() if is_wanted(name)}


def _filled(tensor: Tensor, buffer: Tensor) -> Tensor:
    """Return the tensor that a meta tensor describes, as a view of its storage's bytes."""
    values = buffer[: buffer.numel() // tensor.itemsize * tensor.itemsize].view(tensor.dtype)
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    if math.prod(tensor.shape) and tensor.storage_offset() + reach >= values.numel():
        raise ValueError("an entry extends beyond its storage")
    return values.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not value.is_quantized
        and not value.is_conj()
        and not value.is_neg()
    )


def is_dense(value: object) -> bool:
    """Return whether a value is a plain tensor with data: not sparse, quantised or on the meta device."""
    return _is_plain(value) and isinstance(value, Tensor) and not value.is_meta
