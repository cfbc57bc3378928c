"""What decoding costs: `python -m benchmarks.decode_cost [--megapixels 1 4 12 24] [--formats jpeg png ...]`.

For each format ordinary photographs and the costliest files that are let through, made here: the processor's time, the
peak of memory above what the process had before, both in a process of its own, and how many times an ordinary
photograph of equal megapixels it costs. The prices of `service/vision/decoding_cost.py` come from this table.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import SampleRejectedError
from service.policies import image_limits
from service.settings import Settings
from service.vision.image_format import ImageFormat
from service.vision.sniffing import ImageHeader, sniff_image
from tests.hostile import jpegs
from tests.hostile.corpus import png_of_zeros
from tests.hostile.photographs import deep, encode, encode_opencv, flat_rgb, noise_rgb, photograph_rgb, with_alpha

Maker = Callable[[int, int, int], bytes]
"""Width, height and quality, 1..100."""
QUALITIES = (100, 95, 90, 80, 65, 50, 35, 20, 10, 5, 2)
ORDINARY = (90,)
_RUNS = 3


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    format: ImageFormat
    make: Maker
    ordinary: bool = False


def _jpeg(
    picture: Callable[[int, int], NDArray[np.uint8]], *, progressive: int = 0, full_colour: bool = False
) -> Maker:
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    flags = (cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    return lambda width, height, quality: encode_opencv(
        picture(width, height), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality, *flags
    )


def _png(picture: Callable[[int, int], NDArray[np.uint8]]) -> Maker:
    return lambda width, height, _: encode_opencv(picture(width, height), ".png", cv2.IMWRITE_PNG_COMPRESSION, 1)


def _grainy(width: int, height: int, quality: int) -> NDArray[np.uint8]:
    """More grain, more coded bytes."""
    return photograph_rgb(width, height, grain=quality // 8 + 1)


def _pillow(image_format: str, picture: Callable[[int, int], NDArray[np.uint8]], **options: object) -> Maker:
    return lambda width, height, quality: encode(picture(width, height), image_format, quality=quality, **options)


def _heic(picture: Callable[[int, int], NDArray[np.uint8]]) -> Maker:
    def make(width: int, height: int, quality: int) -> bytes:
        import pillow_heif

        pillow_heif.register_heif_opener()
        return encode(picture(width, height), "HEIF", quality=quality, enc_params={"preset": "ultrafast"})

    return make


def _scans(width: int, height: int, quality: int) -> bytes:
    return jpegs.scan_bomb(width, height, quality, runs=False)


KINDS = (
    Kind("photograph", ImageFormat.JPEG, _jpeg(photograph_rgb), ordinary=True),
    Kind("photograph, progressive", ImageFormat.JPEG, _jpeg(photograph_rgb, progressive=1), ordinary=True),
    Kind("noise, 4:4:4", ImageFormat.JPEG, _jpeg(noise_rgb, full_colour=True)),
    Kind("noise, progressive", ImageFormat.JPEG, _jpeg(noise_rgb, progressive=1)),
    Kind("noise, progressive, 4:4:4", ImageFormat.JPEG, _jpeg(noise_rgb, progressive=1, full_colour=True)),
    Kind("noise, CMYK", ImageFormat.JPEG, lambda w, h, q: encode(_cmyk(noise_rgb(w, h)), "JPEG", quality=q)),
    Kind("empty scans", ImageFormat.JPEG, _scans),
    Kind("photograph", ImageFormat.PNG, _png(photograph_rgb), ordinary=True),
    Kind("grain", ImageFormat.PNG, lambda w, h, q: _png(lambda w, h: _grainy(w, h, q))(w, h, q)),
    Kind("grain, RGBA", ImageFormat.PNG, lambda w, h, q: _png(lambda w, h: with_alpha(_grainy(w, h, q)))(w, h, q)),
    Kind("grain, 16 bits", ImageFormat.PNG, lambda w, h, q: encode_opencv(deep(_grainy(w, h, q)), ".png")),
    Kind("zeros, RGB", ImageFormat.PNG, lambda w, h, _: png_of_zeros(w, h, color=2)),
    Kind("zeros, RGBA", ImageFormat.PNG, lambda w, h, _: png_of_zeros(w, h, color=6)),
    Kind("zeros, RGBA, 16 bits", ImageFormat.PNG, lambda w, h, _: png_of_zeros(w, h, color=6, depth=16)),
    Kind("photograph", ImageFormat.WEBP, _pillow("WEBP", photograph_rgb, method=2), ordinary=True),
    Kind("noise", ImageFormat.WEBP, _pillow("WEBP", noise_rgb, method=2)),
    Kind("noise, RGBA", ImageFormat.WEBP, _pillow("WEBP", lambda w, h: with_alpha(noise_rgb(w, h)), method=0)),
    Kind(
        "noise, lossless", ImageFormat.WEBP, lambda w, h, q: encode(noise_rgb(w, h), "WEBP", lossless=True, quality=0)
    ),
    Kind(
        "grain, lossless", ImageFormat.WEBP, lambda w, h, q: encode(_grainy(w, h, q), "WEBP", lossless=True, quality=0)
    ),
    Kind("flat, lossless", ImageFormat.WEBP, lambda w, h, q: encode(flat_rgb(w, h), "WEBP", lossless=True, quality=0)),
    Kind("photograph", ImageFormat.BMP, lambda w, h, _: encode_opencv(photograph_rgb(w, h), ".bmp"), ordinary=True),
    Kind("one bit", ImageFormat.BMP, lambda w, h, _: encode(_one_bit(flat_rgb(w, h)), "BMP")),
    Kind("photograph", ImageFormat.GIF, lambda w, h, _: encode_opencv(photograph_rgb(w, h), ".gif"), ordinary=True),
    Kind("noise", ImageFormat.GIF, lambda w, h, _: encode_opencv(noise_rgb(w, h), ".gif")),
    Kind("flat", ImageFormat.GIF, lambda w, h, _: encode_opencv(flat_rgb(w, h), ".gif")),
    Kind(
        "photograph, LZW", ImageFormat.TIFF, lambda w, h, _: encode_opencv(photograph_rgb(w, h), ".tiff"), ordinary=True
    ),
    Kind(
        "grain, deflated",
        ImageFormat.TIFF,
        lambda w, h, q: encode(_grainy(w, h, q), "TIFF", compression="tiff_adobe_deflate"),
    ),
    Kind("flat, 16 bits", ImageFormat.TIFF, lambda w, h, _: encode_opencv(deep(flat_rgb(w, h)), ".tiff")),
    Kind("photograph", ImageFormat.AVIF, _pillow("AVIF", photograph_rgb, speed=10), ordinary=True),
    Kind("noise", ImageFormat.AVIF, _pillow("AVIF", noise_rgb, speed=10)),
    Kind("photograph", ImageFormat.HEIC, _heic(photograph_rgb), ordinary=True),
    Kind("noise", ImageFormat.HEIC, _heic(noise_rgb)),
)


def _cmyk(image_rgb: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image_rgb).convert("CMYK")


def _one_bit(image_rgb: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image_rgb).convert("1")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 1.0, 4.0, 12.0, 24.0])
    parser.add_argument("--formats", nargs="+", default=[each.value for each in ImageFormat])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _measure_here(options.child)
        return
    print("| format | megapixels | contents | file, MiB | estimated ms | CPU ms | peak MiB | times ordinary |")
    print("|---|---|---|---|---|---|---|---|")
    summary = [
        _print_rows([kind for kind in KINDS if kind.format is image_format], megapixels)
        for image_format in map(ImageFormat, options.formats)
        for megapixels in options.megapixels
    ]
    print("\n| format | megapixels | ordinary ms | worst ms | worst contents | times ordinary | worst peak MiB |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(summary))


def _print_rows(kinds: Sequence[Kind], megapixels: float) -> str:
    """Ordinary ones first: the costliest of them is what the others are held against. Answers what it comes to."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    ordinary_ms = 0.0
    worst, peak = (0.0, ""), 0.0
    for kind in sorted(kinds, key=lambda kind: not kind.ordinary):
        row = f"| {kind.format} | {megapixels:g} | {kind.name} |"
        try:
            found = _costliest(kind, width, height)
        except (ValueError, OSError, cv2.error) as error:
            print(f"{row} not made: {error} | | | | |")
            continue
        if found is None:
            print(f"{row} refused | | | | |")
            continue
        data, header = found
        milliseconds, mebibytes = _measure(data)
        ordinary_ms = max(ordinary_ms, milliseconds) if kind.ordinary else ordinary_ms
        worst, peak = max(worst, (milliseconds, kind.name)), max(peak, mebibytes)
        times = "" if kind.ordinary or not ordinary_ms else f"{milliseconds / ordinary_ms:.1f}"
        note = f" (1/{header.scale})" if header.scale > 1 else ""
        size = f"{len(data) / 2**20:.2f}"
        print(f"{row} {size}{note} | {header.cost.milliseconds:.0f} | {milliseconds:.0f} | {mebibytes:.0f} | {times} |")
    ordinary, times = (f"{ordinary_ms:.0f}", f"{worst[0] / ordinary_ms:.1f}") if ordinary_ms else ("refused", "")
    return f"| {kinds[0].format} | {megapixels:g} | {ordinary} | {worst[0]:.0f} | {worst[1]} | {times} | {peak:.0f} |"


def _costliest(kind: Kind, width: int, height: int) -> tuple[bytes, ImageHeader] | None:
    """The file of the highest quality that is let through; None: none is."""
    settings = Settings().limits
    limits = dataclasses.replace(image_limits(settings), formats=frozenset(ImageFormat))
    last = None
    for quality in ORDINARY if kind.ordinary else QUALITIES:
        data = kind.make(width, height, quality)
        if data == last:
            return None
        last = data
        if len(data) > settings.max_sample_bytes:
            continue
        try:
            return data, sniff_image(data, limits)
        except SampleRejectedError:
            continue
    return None


def _measure(data: bytes) -> tuple[float, float]:
    """Milliseconds and MiB, in a fresh process."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.decode_cost", "--child", file.name]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(answer[0]), float(answer[1])


def _measure_here(path: Path) -> None:
    from service.vision.decoding import decode_announced

    cv2.setNumThreads(1)
    limits = dataclasses.replace(image_limits(Settings().limits), formats=frozenset(ImageFormat))
    data = path.read_bytes()
    header = sniff_image(data, limits)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    seconds = []
    for _ in range(_RUNS):
        began = time.process_time()
        decode_announced(data, header)
        seconds.append(time.process_time() - began)
    print(f"{min(seconds) * 1e3:.1f} {_memory('VmHWM') - before:.1f}")


def _memory(name: str) -> float:
    """MiB, of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
