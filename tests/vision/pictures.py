"""Small synthetic pictures, encoded in every way that a client may choose. Pillow is the independent encoder."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.vision.sniffing import ImageLimits

LIMITS = ImageLimits(max_pixels=25_000_000, max_side=8192, max_jpeg_scans=100, max_scan_megapixels=250.0)


def picture_rgb(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """(H, W, 3): no two corners alike, smooth enough for JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 200 * x / width
    green = 30 + 200 * y / height
    blue = 220 - 100 * x / width - 80 * y / height
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def encode(image: NDArray[np.uint8] | Image.Image, image_format: str, **options: object) -> bytes:
    """An (H, W), (H, W, 3) RGB or (H, W, 4) RGBA array, or a Pillow image, as a file of `image_format`."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


def decode_with_pillow(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) BGR."""
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return np.ascontiguousarray(rgb[..., ::-1])


def exif_with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The pixels that a camera would have stored for this upright image and orientation."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    return np.ascontiguousarray(stored)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_announcing(width: int, height: int) -> bytes:
    """A complete PNG of hardly any bytes whose header announces this size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0"))
        + png_chunk(b"IEND", b"")
    )


def jpeg_announcing(width: int, height: int, scans: int = 1) -> bytes:
    """A JPEG skeleton: a frame header of this size and so many empty scans."""
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12\xff\x00\x34"
    return b"\xff\xd8" + b"\xff\xc2" + frame + scan * scans + b"\xff\xd9"


def webp_announcing(width: int, height: int) -> bytes:
    """A WebP file with an extended header of this size and nothing else."""
    header = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", len(header)) + header
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_announcing(width: int, height: int) -> bytes:
    """A bitmap header of this size without pixels."""
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
