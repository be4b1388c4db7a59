"""Small valid files in many formats, and reproducible damage to them, read in a separate process."""

import faulthandler
import io
import json
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagebind.errors import ImageBindError
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.media.detect import detect
from imagebind.modality import MediaKind
from tests.media import loggers
from tests.media.encoded import encode
from tests.media.filmed import record
from tests.media.measured import encoded, tiff
from tests.media.motion import PLAIN, PLAIN_SAMPLES
from tests.media.test_deep_images import coloured, png, pnm
from tests.media.test_flir import camera_record, fff, flir_jpeg, raw_record

HANG_SECONDS = 60  # then a child prints its traceback and exits
HEADER_BYTES = 400  # the start of a file, which gets half of the damage
FIRST_BYTES = 128  # of a file, whose fields are set to 0 and to 255
HEADER_FAULTS = FIRST_BYTES // 2 + 2 * (FIRST_BYTES // 4 + FIRST_BYTES // 8)  # per file, by `damage_header`

AUDIO = (
    *("lame_128.mp3", "lame_v4_without_xing.mp3", "twolame.mp2", "mp3.wav", "mp3.mkv", "vorbis_q1.ogg"),
    *("opus.opus", "opus.webm", "aac.m4a", "aac.aac", "aac.ts", "aac.flv", "aac.3gp", "alac.m4a"),
    *("flac.flac", "flac.ogg", "ac3.ac3", "eac3.eac3", "dts.dts", "wma2.wma", "wavpack.wv", "tta.tta"),
    *("adpcm_ms.wav", "gsm.wav", "pcm_24.wav", "pcm_float.wav", "mulaw.wav", "alaw.au", "pcm.aiff"),
    *("pcm.caf", "pcm.w64", "pcm.avi"),
)
VIDEO = {  # file name -> options of ffmpeg
    "h264.mp4": "-c:a aac -c:v libx264 -g 12 -pix_fmt yuv420p",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p",
    "av1.mp4": "-c:v libaom-av1 -usage realtime -cpu-used 8",
    "fragments.mp4": "-c:v libx264 -g 12 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
    "mpeg4.mov": "-c:v mpeg4",
    "prores.mov": "-c:v prores",
    "h264.mkv": "-c:v libx264 -pix_fmt yuv420p",
    "ffv1.mkv": "-c:v ffv1",
    "vp8.webm": "-c:v libvpx",
    "vp9.webm": "-c:v libvpx-vp9",
    "mpeg4.avi": "-c:v mpeg4 -bf 2",
    "mjpeg.avi": "-c:v mjpeg",
    "h264.ts": "-c:v libx264 -g 12 -pix_fmt yuv420p",
    "mpeg2.mpg": "-c:v mpeg2video",
    "mpeg1.vob": "-c:v mpeg1video -f vob",
    "flv1.flv": "-c:v flv",
    "wmv2.wmv": "-c:v wmv2",
    "theora.ogv": "-c:v libtheora",
    "mpeg2.mxf": "-c:v mpeg2video",
    "h263.3gp": "-c:v h263 -s 128x96",
    "moving.gif": "",
    "moving.webp": "-c:v libwebp_anim -loop 0",
    "raw.y4m": "-pix_fmt yuv420p",
    "raw.h264": "-c:v libx264 -pix_fmt yuv420p",
}
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8) // 4 * 4
IMAGES: dict[str, tuple[str, str, dict[str, Any]]] = {  # file name -> (mode, Pillow's format, options)
    "rgb.png": ("RGB", "PNG", {}),
    "palette.png": ("P", "PNG", {}),
    "moving.png": ("RGB", "PNG", {"save_all": True, "append_images": [Image.new("RGB", (56, 40))]}),
    "baseline.jpg": ("RGB", "JPEG", {}),
    "progressive.jpg": ("CMYK", "JPEG", {"progressive": True}),
    "lossy.webp": ("RGB", "WEBP", {}),
    "lossless.webp": ("RGBA", "WEBP", {"lossless": True}),
    "still.avif": ("RGB", "AVIF", {}),
    "still.heic": ("RGB", "HEIF", {}),
    "raw.tiff": ("RGB", "TIFF", {}),
    "lzw.tiff": ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
    "jpeg.tiff": ("RGB", "TIFF", {"compression": "jpeg"}),
    "group4.tiff": ("1", "TIFF", {"compression": "group4"}),
    "rgb.bmp": ("RGB", "BMP", {}),
    "still.gif": ("P", "GIF", {}),
    "lossy.jp2": ("RGB", "JPEG2000", {}),
    "rgb.qoi": ("RGB", "QOI", {}),
    "rgb.sgi": ("RGB", "SGI", {}),
    "grey.pgm": ("L", "PPM", {}),
    "rgb.ppm": ("RGB", "PPM", {}),
    "icon.ico": ("RGBA", "ICO", {"sizes": [(40, 40)]}),
    "stereo.mpo": ("RGB", "MPO", {"save_all": True, "append_images": [Image.new("RGB", (56, 40))]}),
}


TEXT_BYTES = b'0123456789,.;:-+eE \t\n"nax_'  # typical of tables
HUGE_NUMBERS = b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"99999999", b"\0\x0f\xff\xff" * 2


def _ogg_checksum(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x04C11DB7 if byte & 0x80000000 else 0)
    return byte & 0xFFFFFFFF


OGG_CHECKSUMS = [_ogg_checksum(byte << 24) for byte in range(256)]


def make_files(folder: Path) -> dict[MediaKind, list[str]]:
    """Write files as `folder/MEDIA_TYPE/NAME`, except those without an encoder; return their names."""
    for kind in MediaKind:
        (folder / kind.value).mkdir(parents=True)
    raw, scratch = raw_record(), folder / "scratch"
    scratch.mkdir()
    for name in AUDIO:
        try:
            encode(scratch, name, seconds=1).rename(folder / "audio" / name)
        except pytest.skip.Exception:
            continue
    for name, options in VIDEO.items():
        source = "-f lavfi -i sine=r=16000:d=1 " if "-c:a" in options else ""
        try:
            record(scratch / name, source + options, seconds=1, size="64x48").rename(folder / "video" / name)
        except subprocess.CalledProcessError as error:
            if b"Unknown encoder" not in error.stderr:
                raise
    _write(folder / "image", {name: _image(*made) for name, made in IMAGES.items()})
    depth = np.linspace(500, 6000, 40 * 50).reshape(40, 50).astype(np.uint16)
    metres = (depth / 1000).astype(np.float32)
    images = {"deep.png": png(coloured(1)), "deep.pgm": pnm(5, 30000), "plain.pgm": pnm(2, 30000)}
    arrays = {"deep.npy": encoded(metres, "npy"), "deep.npz": encoded(metres, "npz")}
    pfm = b"Pf\n50 40\n-1.0\n" + metres.tobytes()
    _write(folder / "depth", {**images, **arrays, "deep.pfm": pfm, "deep.tiff": tiff(coloured(3), order=">")})
    thermal = {"flir.fff": fff(raw, camera_record()), "flir.jpg": flir_jpeg(fff(raw, camera_record()))}
    thermal |= {"counts.tiff": tiff(coloured(1)), "counts.png": png(coloured(2))}
    thermal |= {"lzw.tiff": encoded(depth, "TIFF", compression="tiff_lzw")}
    _write(folder / "thermal", {**thermal, "inner.fff": fff(raw_record(form="png"), camera_record())})
    tables = (loggers.phyphox_german, loggers.sensorlog, loggers.euroc, loggers.xsens_dot, loggers.shimmer)
    imu = {f"{table.__name__}.csv": table().encode() for table in tables}
    imu |= {"phyphox.tsv": loggers.phyphox_tabs_with_commas().encode(), "tum.txt": loggers.tum().encode()}
    imu |= {"utf16.csv": loggers.tagged_rows().encode("utf-16"), "plain.csv": PLAIN}
    _write(folder / "imu", {**imu, "motion.npy": encoded(PLAIN_SAMPLES, "npy")})
    return {kind: names for kind in MediaKind if (names := names_in(folder / kind.value))}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _image(mode: str, form: str, options: dict[str, Any]) -> bytes:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(COLOURS).convert(mode).save(file, form, **options)
    return file.getvalue()


def mutate(whole: bytes, rng: np.random.Generator) -> bytes:
    """Apply one to three damages, half of them near the start; in half of the cases correct checksums."""
    bad = bytearray(whole)
    is_text = b"\0" not in whole and whole.isascii()
    for _ in range(rng.integers(1, 4)):
        if not bad:
            break
        at, size = _position(bad, rng), int(2 ** rng.uniform(0, 6 if is_text else 10))
        match rng.integers(7):
            case 0 if not is_text:  # flip bits
                for _ in range(rng.integers(1, 9)):
                    bad[_position(bad, rng)] ^= 1 << rng.integers(8)
            case 0 | 1:  # other bytes
                chosen = TEXT_BYTES if is_text and rng.random() < 0.9 else bytes(range(256))
                bad[at : at + size] = (
                    rng.choice(list(chosen), len(bad[at : at + size])).astype(np.uint8).tobytes()
                )
            case 2 if rng.random() < 0.5:  # truncate
                del bad[at:]
            case 2 | 3:  # zeros
                bad[at : at + size] = (b"0" if is_text else b"\0") * len(bad[at : at + size])
            case 4:  # repeat a block
                bad[at:at] = bad[at : at + size]
            case 5:  # swap two blocks
                other = _position(bad, rng)
                one, two = bytes(bad[at : at + size]), bytes(bad[other : other + size])
                bad[at : at + len(two)], bad[other : other + len(one)] = two, one
            case _:  # a huge length
                number = b"99999999" if is_text else HUGE_NUMBERS[rng.integers(len(HUGE_NUMBERS))]
                number = number[: 2 ** rng.integers(1, 4)]
                bad[at : at + len(number)] = number
    if rng.random() < 0.5:
        _fit_png_checksums(bad)
        _fit_ogg_checksums(bad)
    return bytes(bad)


def _fit_png_checksums(png: bytearray) -> None:
    at = 8 if png.startswith(b"\x89PNG") else len(png)
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 <= len(png):
            png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def _fit_ogg_checksums(ogg: bytearray) -> None:
    at = 0
    while ogg.startswith(b"OggS", at) and at + 27 <= len(ogg):
        body = at + 27 + ogg[at + 26]
        end = body + sum(ogg[at + 27 : body])
        ogg[at + 22 : at + 26] = bytes(4)
        checksum = 0
        for byte in ogg[at:end]:
            checksum = (checksum << 8) & 0xFFFFFFFF ^ OGG_CHECKSUMS[checksum >> 24 ^ byte]
        ogg[at + 22 : at + 26] = checksum.to_bytes(4, "little")
        at = end


def _position(content: bytearray, rng: np.random.Generator) -> int:
    end = len(content) if rng.random() < 0.5 else min(len(content), HEADER_BYTES)
    return int(rng.integers(end))


def damage_header(whole: bytes, number: int) -> bytes:
    """Truncate a file below 64 bytes, or set 4 or 8 of its first 128 to 0 or 255; `number` selects which."""
    if number < FIRST_BYTES // 2:
        return whole[:number]
    number, fill = divmod(number - FIRST_BYTES // 2, 2)
    fields = FIRST_BYTES // 4
    at, size = (4 * number, 4) if number < fields else (8 * (number - fields), 8)
    return whole[:at] + bytes([255 * fill]) * size + whole[at + size :]


def mutation(path: Path, number: int) -> bytes:
    """Return the damaged content of a file: header faults for low numbers, then seeded damage."""
    whole = path.read_bytes()
    if number < HEADER_FAULTS:
        return damage_header(whole, number)
    return mutate(whole, np.random.default_rng([zlib.crc32(path.name.encode()), number - HEADER_FAULTS]))


def read_mutation(path: Path, mutation_number: int) -> str:
    """Read a damaged file with its modality and detect it without; return the outcome as text."""
    bad, kind = mutation(path, mutation_number), MediaKind(path.parent.name)
    outcome = "read"
    options = options_for(path)
    for has_modality in (True, False):
        file = io.BytesIO(bad)
        file.name = path.name  # some formats are detected by it
        try:
            if not has_modality:
                detect(file)
                continue
            views = prepare(identify({kind.value: file, **options}), default_transform(kind)).views
            if not (len(views) and views.isfinite().all()):
                outcome = f"tensor of shape {tuple(views.shape)}, finite: {bool(views.isfinite().all())}"
        except ImageBindError:
            outcome = "refused" if has_modality else outcome
        except Exception:
            return traceback.format_exc()
    return outcome


def options_for(path: Path) -> dict[str, Any]:
    """Return the options that are needed to read a valid file."""
    if path.parent.name != MediaKind.IMU.value:
        return {}
    return {"window_seconds": 2, **({"rate": 100} if path.suffix == ".npy" else {})}


def peak_megabytes() -> float:
    """Return the peak memory of this process; `ru_maxrss` would include its parent's, before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def warm_up(folder: Path) -> None:
    """Read each valid file, so that imports and other one-time work are done."""
    kind = MediaKind(folder.name)
    for name in names_in(folder):
        options = options_for(folder / name)
        prepare(identify({kind.value: folder / name, **options}), default_transform(kind))


def main() -> None:
    """Read a folder's mutations from a number on; print a JSON line each: outcome, seconds, megabytes."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")  # of Pillow, about the damage
    print(json.dumps(peak_megabytes()), flush=True)
    warm_up(folder)
    names = names_in(folder)
    for number in range(first, count):
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        start = time.perf_counter()
        outcome = read_mutation(folder / names[number % len(names)], number // len(names))
        seconds = time.perf_counter() - start
        print(json.dumps([outcome, seconds, peak_megabytes()]), flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    main()
