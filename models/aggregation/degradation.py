"""What cameras, distance, movement and codecs do to a face, simulated on a source image or an aligned face.

Every size is in eye distances, so that one recipe fits a 250-pixel photograph and a 112-pixel aligned face.
Each draw comes from the generator that is handed in: the same seed gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raised whenever the same draw gives other pixels; embeddings extracted with another version are made again."""

Image = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class FacePlace:
    """Where the face lies in the image that is degraded."""

    centre: tuple[float, float]
    """Between eyes and mouth (x, y), pixels."""
    eye_distance: float
    """Pixels."""


@dataclass(frozen=True, slots=True)
class DegradationRecipe:
    """Probability of each step; a draw in which none comes up is drawn again."""

    jitter: float = 0.4
    exposure: float = 0.35
    occlusion: float = 0.25
    motion_blur: float = 0.25
    focus_blur: float = 0.25
    low_resolution: float = 0.55
    noise: float = 0.35
    compression: float = 0.45


class DegradationKind(StrEnum):
    """The steps by name, each a field of the recipe."""

    JITTER = "jitter"
    EXPOSURE = "exposure"
    OCCLUSION = "occlusion"
    MOTION_BLUR = "motion_blur"
    FOCUS_BLUR = "focus_blur"
    LOW_RESOLUTION = "low_resolution"
    NOISE = "noise"
    COMPRESSION = "compression"

    def alone(self) -> DegradationRecipe:
        """The recipe of this step and no other."""
        return DegradationRecipe(**{kind.value: float(kind is self) for kind in DegradationKind})


def degrade(
    image_bgr: Image, place: FacePlace, rng: np.random.Generator, recipe: DegradationRecipe | None = None
) -> Image:
    """A degraded copy of (H, W, 3) uint8 BGR, of the same size. Steps run in the order light meets a camera:
    pose and crop, exposure, occlusion, blur, resolution, noise, codec."""
    recipe = recipe or DegradationRecipe()
    steps: list[tuple[float, Callable[[Image, FacePlace, np.random.Generator], Image]]] = [
        (recipe.jitter, jitter),
        (recipe.exposure, change_exposure),
        (recipe.occlusion, occlude),
        (recipe.motion_blur, blur_by_motion),
        (recipe.focus_blur, blur_by_focus),
        (recipe.low_resolution, lower_resolution),
        (recipe.noise, add_noise),
        (recipe.compression, compress),
    ]
    probabilities = np.array([probability for probability, _ in steps])
    chosen = rng.random(len(steps)) < probabilities
    while not chosen.any():
        chosen = rng.random(len(steps)) < probabilities
    for (_, step), apply in zip(steps, chosen, strict=True):
        if apply:
            image_bgr = step(image_bgr, place, rng)
    return image_bgr


def jitter(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """Crop and alignment error: turn up to 12 degrees, scale 0.85 to 1.2, shift up to 0.2 eye distances."""
    turn = np.array(cv2.getRotationMatrix2D(place.centre, rng.uniform(-12.0, 12.0), rng.uniform(0.85, 1.2)), np.float64)
    turn[:, 2] += rng.uniform(-0.2, 0.2, 2) * place.eye_distance
    return _uint8(cv2.warpAffine(image_bgr, turn, image_bgr.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101))


def change_exposure(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """Gamma 0.4 to 2.5, contrast 0.4 to 1.3, and a shade over one side half of the time."""
    values = image_bgr.astype(np.float32) / 255.0
    values = values ** np.exp(rng.uniform(np.log(0.4), np.log(2.5)))
    values = (values - 0.5) * rng.uniform(0.4, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.5:
        angle = rng.uniform(0.0, 2.0 * np.pi)
        rows, columns = np.indices(image_bgr.shape[:2], dtype=np.float32)
        along = (columns - place.centre[0]) * np.cos(angle) + (rows - place.centre[1]) * np.sin(angle)
        shade = 1.0 - rng.uniform(0.3, 0.8) / (1.0 + np.exp(-3.0 * along / place.eye_distance))
        values = values * shade[:, :, None].astype(np.float32)
    return _uint8(values * 255.0)


def occlude(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """A rotated box or an ellipse of one colour with grain over part of the face."""
    patched = image_bgr.copy()
    centre = np.array(place.centre) + rng.uniform(-1.1, 1.1, 2) * place.eye_distance
    size = rng.uniform(0.5, 1.7, 2) * place.eye_distance
    mask = np.zeros(image_bgr.shape[:2], np.uint8)
    shape = (tuple(map(float, centre)), tuple(map(float, size)), float(rng.uniform(0.0, 180.0)))
    if rng.random() < 0.5:
        cv2.ellipse(mask, shape, 255, -1)
    else:
        cv2.fillConvexPoly(mask, cv2.boxPoints(shape).astype(np.int32), 255)
    covered = mask > 0
    grain = rng.normal(0.0, rng.uniform(0.0, 40.0), (int(covered.sum()), 1))
    patched[covered] = _uint8(rng.uniform(0.0, 255.0, 3) + grain)
    return patched


def blur_by_motion(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """A straight trace of 0.1 to 0.5 eye distances in any direction."""
    length = max(2.0, rng.uniform(0.1, 0.5) * place.eye_distance)
    half = int(np.ceil(length / 2.0))
    angle = rng.uniform(0.0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2.0
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-1.0, 1.0, 4 * half + 1):
        x, y = np.rint(half + t * reach).astype(int)
        kernel[y, x] = 1.0
    return _uint8(cv2.filter2D(image_bgr, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101))


def blur_by_focus(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """A disc of 0.05 to 0.22 eye distances radius, as a lens out of focus draws a point."""
    radius = max(1.0, rng.uniform(0.05, 0.22) * place.eye_distance)
    half = int(np.ceil(radius))
    rows, columns = np.indices((2 * half + 1, 2 * half + 1), dtype=np.float32) - half
    disc = np.clip(radius + 0.5 - np.hypot(rows, columns), 0.0, 1.0).astype(np.float32)
    return _uint8(cv2.filter2D(image_bgr, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101))


def lower_resolution(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """4 to 16 pixels between the eyes, then enlarged back by one of three interpolations."""
    height, width = image_bgr.shape[:2]
    scale = np.exp(rng.uniform(np.log(4.0), np.log(16.0))) / place.eye_distance
    if scale >= 1.0:
        return image_bgr
    small_size = (max(4, round(width * scale)), max(4, round(height * scale)))
    shrink = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_LINEAR
    enlarge = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[rng.choice(3, p=(0.45, 0.45, 0.1))]
    small = cv2.resize(image_bgr, small_size, interpolation=shrink)
    return _uint8(cv2.resize(small, (width, height), interpolation=enlarge))


def add_noise(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """Sensor noise, sigma 4 to 36 of 255, finer or coarser, per channel or grey."""
    height, width = image_bgr.shape[:2]
    grain = rng.uniform(1.0, 2.5)
    channels = 3 if rng.random() < 0.5 else 1
    noise = rng.normal(0.0, rng.uniform(4.0, 36.0), (round(height / grain), round(width / grain), channels))
    enlarged = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return _uint8(image_bgr + enlarged.reshape(height, width, channels))


def compress(image_bgr: Image, place: FacePlace, rng: np.random.Generator) -> Image:
    """JPEG of quality 4 to 40, half of the time at half the size first, as a video codec leaves it."""
    height, width = image_bgr.shape[:2]
    quality = int(rng.integers(4, 41))
    halved = place.eye_distance >= 30.0 and rng.random() < 0.5
    source = cv2.resize(image_bgr, (width // 2, height // 2), interpolation=cv2.INTER_AREA) if halved else image_bgr
    encoded = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError(f"OpenCV cannot read its own JPEG of {width}x{height} pixels")
    return _uint8(cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR) if halved else decoded)


def _uint8(values: NDArray[Any]) -> Image:
    """Rounded and clipped to 0..255."""
    return np.clip(np.rint(values.astype(np.float32)), 0, 255).astype(np.uint8)
