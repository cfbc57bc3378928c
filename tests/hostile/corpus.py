"""Every kind of file that somebody may send to hurt: what it is, and what must become of it.

Made when asked for, by generators alone, so that other tests and fuzzers can take them as seeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from service.types import RejectionReason
from tests.hostile import heifs, jpegs, pngs, webps
from tests.hostile.photographs import deep, encode, encode_opencv, flat_rgb, noise_rgb, photograph_rgb, with_alpha
from tests.hostile.simple_files import gif_announcing, tiff_announcing
from tests.vision.pictures import (
    bmp_announcing,
    exif_with_orientation,
    jpeg_announcing,
    png_announcing,
    webp_announcing,
)

READ = None
"""What becomes of a file that is decoded."""


@dataclass(frozen=True, slots=True)
class HostileFile:
    name: str
    make: Callable[[], bytes]
    reason: RejectionReason | None
    """Why it is refused where every format is accepted; None: it is decoded."""
    by_decoder: bool = False
    """Only the decoder finds it out."""


ANNOUNCERS: dict[str, Callable[[int, int], bytes]] = {
    "png": png_announcing,
    "webp": webp_announcing,
    "jpeg": jpeg_announcing,
    "gif": gif_announcing,
    "bmp": bmp_announcing,
    "tiff": tiff_announcing,
    "avif": lambda width, height: heifs.heif_announcing("avif", width, height),
    "heic": lambda width, height: heifs.heif_announcing("heic", width, height),
}
TOO_LARGE = ((30_000, 30_000), (13_000, 13_000), (1, 65_535), (65_535, 1), (8_193, 8))


def hostile_files() -> Iterator[HostileFile]:
    """All of them."""
    yield from pixel_bombs()
    yield from scan_bombs()
    yield from work_bombs()
    yield from polyglots()
    yield from edges()
    yield from kinds()


def pixel_bombs() -> Iterator[HostileFile]:
    """Headers that announce more than anybody may send."""
    for name, announce in ANNOUNCERS.items():
        for width, height in TOO_LARGE:
            yield HostileFile(
                f"{name} of {width}x{height}",
                lambda announce=announce, width=width, height=height: announce(width, height),  # type: ignore[misc]
                RejectionReason.TOO_MANY_PIXELS,
            )
        yield HostileFile(
            f"{name} without its pixels",
            lambda announce=announce: announce(640, 480),  # type: ignore[misc]
            # TIFF's decoder, like that of JPEG, shows what there is of damaged pixels.
            READ if name == "tiff" else RejectionReason.UNREADABLE,
            by_decoder=name not in ("webp", "bmp", "tiff"),
        )
    yield HostileFile("png that unfolds", lambda: pngs.pixel_bomb(13_000, 13_000), RejectionReason.TOO_MANY_PIXELS)


SCANS = (7, 10, 30, 100, 101, 1_000, 4_000)
SCAN_SIZES = ((500, 500), (1_000, 1_000), (2_000, 2_000), (4_000, 4_000))


def scan_bombs() -> Iterator[HostileFile]:
    """Progressive pictures; what is let through costs at most three times an ordinary one of its size."""
    for width, height in SCAN_SIZES:
        for scans in SCANS:
            megapixels = width * height / 1e6
            allowed = scans <= 100 and scans * megapixels <= 250
            yield HostileFile(
                f"jpeg of {width}x{height} in {scans} scans",
                lambda width=width, height=height, scans=scans: jpegs.scan_bomb(width, height, scans),  # type: ignore[misc]
                READ if allowed else RejectionReason.TOO_MANY_PIXELS,
            )
    yield HostileFile("jpeg in 5,000 scans", lambda: jpegs.scan_bomb(500, 500, 5_000), RejectionReason.TOO_MANY_PIXELS)
    yield HostileFile("jpeg with tables", lambda: jpegs.table_bomb(500, 500, 2), RejectionReason.UNREADABLE)


def work_bombs() -> Iterator[HostileFile]:
    """Within every limit on pixels, and costly all the same."""
    too_much, broken = RejectionReason.TOO_MANY_PIXELS, RejectionReason.UNREADABLE
    yield HostileFile("png of code tables", lambda: pngs.block_bomb(1_000, 500), too_much)
    yield HostileFile("png among texts", lambda: pngs.text_bomb(64, 64, 3), READ)
    yield HostileFile("png of 24 MP", lambda: png_of_zeros(6_000, 4_000, color=2), READ)
    yield HostileFile("png of 24 MP, RGBA", lambda: png_of_zeros(6_000, 4_000, color=6), too_much)
    yield HostileFile("png of 24 MP, 16 bits", lambda: png_of_zeros(6_000, 4_000, color=6, depth=16), too_much)
    yield HostileFile("webp of code groups", lambda: webps.group_bomb(512, 512), too_much)
    yield HostileFile("webp of more code groups", lambda: webps.group_bomb(1_024, 1_024), broken)
    yield HostileFile("gif of 24 MP", lambda: gif_announcing(6_000, 4_000), too_much)
    yield HostileFile(
        "gif of 9,000 frames", lambda: gif_announcing(64, 64, frames=9_000), RejectionReason.UNREADABLE, True
    )
    yield HostileFile(
        "tiff in tiles", lambda: tiff_announcing(64, 64, tags={322: 60_000, 323: 60_000}), RejectionReason.UNREADABLE
    )
    yield HostileFile("tiff of a JPEG", lambda: tiff_announcing(64, 64, tags={259: 7}), broken)
    for brand in ("avif", "heic"):
        yield HostileFile(
            f"{brand} that is larger in its code",
            lambda brand=brand: heifs.heif_announcing(brand, 64, 64, in_code=(16_000, 16_000)),  # type: ignore[misc]
            RejectionReason.UNREADABLE,
        )
        yield HostileFile(
            f"{brand} of 200 frames",
            lambda brand=brand: heifs.heif(brand, [(64, 64)], [heifs.coded_picture(brand, 64, 64, frames=200)]),  # type: ignore[misc]
            RejectionReason.UNREADABLE,
        )
    yield HostileFile("avif of equal tiles", lambda: heifs.grid_bomb(2_000, 2_000, 10, 10), broken)
    yield HostileFile("avif of one tile for all", lambda: heifs.repeated_tile(16, 64, 64, 100), broken)
    yield HostileFile("avif of a million pieces", lambda: heifs.extent_bomb(1_000, 1_000, 1_000_000), broken)
    yield HostileFile("avif of many planes of alpha", lambda: heifs.alpha_bomb(2), broken)
    yield HostileFile("avif of many references", lambda: heifs.alpha_bomb(20_000), broken)


def png_of_zeros(width: int, height: int, *, color: int, depth: int = 8) -> bytes:
    """Black, and as few bytes as there can be. `color` as of `pngs.png`."""
    channels = {0: 1, 2: 3, 6: 4}[color]
    row = bytes(1 + width * channels * depth // 8)
    coder = zlib.compressobj(9)
    coded = b"".join([*(coder.compress(row) for _ in range(height)), coder.flush()])
    return pngs.png(width, height, coded, color=color, depth=depth)


def polyglots() -> Iterator[HostileFile]:
    """Two formats in one file, by content and by name: the first bytes decide."""
    photograph = photograph_rgb(64, 48)
    jpeg, png = encode(photograph, "JPEG"), encode(photograph, "PNG")
    gif, webp, bmp = encode(photograph, "GIF"), encode(photograph, "WEBP"), encode(photograph, "BMP")
    for name, data in {
        "jpeg, then zip": jpeg + b"PK\x03\x04" + bytes(100),
        "jpeg, then png": jpeg + png,
        "jpeg, then a second jpeg": jpeg + jpeg,
        "jpeg with a page in its comment": encode(photograph, "JPEG", comment=b"<html><script>"),
        "png, then a program": png + b"<?php",
        "gif, then jpeg": gif + jpeg,
        "webp, then jpeg": webp + jpeg,
        "bmp, then avif": bmp + heifs.heif_announcing("avif", 64, 48),
    }.items():
        yield HostileFile(name, lambda data=data: data, READ)  # type: ignore[misc]
    broken, unknown = RejectionReason.UNREADABLE, RejectionReason.UNSUPPORTED_TYPE
    ftyp = heifs.box(b"ftyp", b"avif" + bytes(8))
    for name, data, reason in (
        (
            "bmp that is an avif from its fifth byte",
            b"BM\x00\x20" + ftyp[4:] + bytes(9_000),
            broken,
        ),
        ("pdf with a jpeg", b"%PDF-1.7\n" + jpeg, unknown),
        ("zip with a png", b"PK\x03\x04" + png, unknown),
        ("page", b"<svg xmlns='http://www.w3.org/2000/svg'/>", unknown),
        ("webp of an audio file", b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), unknown),
        ("jpeg within a jpeg", jpeg[:-2] + jpeg[2:], broken),
        ("large tiff", b"II+\0\x08\0\0\0" + bytes(100), broken),
    ):
        yield HostileFile(name, lambda data=data: data, reason)  # type: ignore[misc]


def edges() -> Iterator[HostileFile]:
    """No pixel, and one."""
    for name in ("png", "jpeg", "gif", "bmp", "tiff"):
        for width, height in ((0, 10), (10, 0), (0, 0)):
            announce = ANNOUNCERS[name]
            yield HostileFile(
                f"{name} of {width}x{height}",
                lambda announce=announce, width=width, height=height: announce(width, height),  # type: ignore[misc]
                RejectionReason.UNREADABLE,
            )
    for image_format in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
        yield HostileFile(
            f"{image_format.lower()} of one pixel",
            lambda image_format=image_format: encode(flat_rgb(1, 1), image_format),  # type: ignore[misc]
            READ,
        )
    yield HostileFile("nothing", lambda: b"", RejectionReason.EMPTY)


def kinds() -> Iterator[HostileFile]:
    """Odd, and nothing wrong with them."""
    photograph = photograph_rgb(64, 48)
    picture = Image.fromarray(photograph)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    others = [Image.fromarray(noise_rgb(64, 48)), picture.rotate(180)]
    made: dict[str, Callable[[], bytes]] = {
        "cmyk jpeg": lambda: encode(picture.convert("CMYK"), "JPEG"),
        "grey jpeg": lambda: encode(picture.convert("L"), "JPEG"),
        "noisy jpeg": lambda: encode(noise_rgb(300, 200), "JPEG", quality=100, subsampling=0),
        "16-bit png": lambda: encode_opencv(deep(photograph), ".png"),
        "16-bit png with alpha": lambda: encode_opencv(deep(with_alpha(photograph)), ".png"),
        "interlaced png": lambda: pngs.png(64, 48, zlib.compress(bytes(10_000)), color=0, interlace=1),
        "palette png": lambda: encode(picture.convert("P"), "PNG", transparency=3),
        "grey png with alpha": lambda: encode(picture.convert("LA"), "PNG"),
        "webp with alpha": lambda: encode(with_alpha(photograph), "WEBP"),
        "lossless webp": lambda: encode(photograph, "WEBP", lossless=True),
        "animated webp": lambda: encode(picture, "WEBP", save_all=True, append_images=others),
        "animated gif": lambda: encode(picture, "GIF", save_all=True, append_images=others),
        "animated png": lambda: encode(picture, "PNG", save_all=True, append_images=others),
        "deflated tiff": lambda: encode(photograph, "TIFF", compression="tiff_adobe_deflate"),
        "16-bit tiff": lambda: encode_opencv(deep(photograph), ".tiff"),
        "avif with alpha": lambda: encode(with_alpha(photograph), "AVIF"),
    }
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        made[f"{image_format.lower()} with a profile"] = lambda image_format=image_format: encode(  # type: ignore[misc]
            photograph, image_format, icc_profile=profile
        )
        for orientation in (3, 6):
            exif = exif_with_orientation(orientation)
            made[f"{image_format.lower()} turned, {orientation}"] = lambda image_format=image_format, exif=exif: encode(  # type: ignore[misc]
                photograph, image_format, exif=exif
            )
    for name, make in made.items():
        yield HostileFile(name, make, READ)


def truncations(count: int = 100) -> Iterator[tuple[str, bytes]]:
    """A photograph in every format, cut off at so many places, evenly."""
    photograph = photograph_rgb(96, 64)
    whole = {name: encode(photograph, name) for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")}
    whole["progressive JPEG"] = encode(photograph, "JPEG", progressive=True)
    whole["lossless WEBP"] = encode(photograph, "WEBP", lossless=True)
    for name, data in whole.items():
        for length in np.linspace(1, len(data) - 1, count).astype(int):
            yield f"{name} of {length} bytes", data[:length]
