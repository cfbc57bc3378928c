"""Pictures as cameras, editors and web sites write them, without a person in them: smooth shapes under grain."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SHAPE = 16
"""Pixels from one light or dark spot to the next."""
_GRAIN_SIDE = 512


def photograph_rgb(width: int, height: int, grain: int = 4) -> NDArray[np.uint8]:
    """(H, W, 3). The same pixels every time. `grain`: most by which a sample is off, as a sensor's noise."""
    random = np.random.default_rng(1)
    spots = random.integers(0, 256, (height // _SHAPE + 2, width // _SHAPE + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = random.integers(-grain, grain + 1, (_GRAIN_SIDE, _GRAIN_SIDE, 3)).astype(np.int16)
    return np.clip(smooth + _tiled(noise, width, height), 0, 255).astype(np.uint8)


def noise_rgb(width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3): nothing that an encoder could foresee."""
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat_rgb(width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) of one colour: the most pixels for the fewest bytes."""
    return np.full((height, width, 3), 90, np.uint8)


def with_alpha(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4): half of the picture shines through."""
    return np.dstack([image_rgb, image_rgb[..., :1] // 2 + 64])


def encode(image: NDArray[np.uint8] | Image.Image, image_format: str, **options: object) -> bytes:
    """RGB, RGBA or grey, or a Pillow image, by Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


def encode_opencv(image_rgb: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, *flags: int) -> bytes:
    """RGB or RGBA, of 8 or 16 bits, by OpenCV, which is faster and knows 16 bits."""
    order = cv2.COLOR_RGBA2BGRA if image_rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(suffix, cv2.cvtColor(image_rgb, order), list(flags))
    if not done:
        raise ValueError(f"OpenCV writes no {suffix}")
    return bytes(encoded.tobytes())


def deep(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """16 bits."""
    return image.astype(np.uint16) * 257


def _tiled(tile: NDArray[np.int16], width: int, height: int) -> NDArray[np.int16]:
    side = len(tile)
    return np.tile(tile, (height // side + 1, width // side + 1, 1))[:height, :width]
