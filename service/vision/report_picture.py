"""A sample set as one picture: every sample with its face, and what it is worth to the template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.types import SampleReport

THUMBNAIL_SIDE = 232
"""Longest side of a sample in the picture, pixels."""
_MARGIN = 8
_LINE = 17
_LINES = 6
_TILE = (THUMBNAIL_SIDE + 2 * _MARGIN, THUMBNAIL_SIDE + _LINES * _LINE + 3 * _MARGIN)
_MOST_COLUMNS = 8
_SMALL_FACE = 40
"""Pixels of the thumbnail: a thick box would hide what is in it."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _FAINT = (250, 250, 250), (40, 40, 40), (225, 225, 225)
_USED, _CORE, _REJECTED = (90, 150, 40), (200, 120, 20), (50, 50, 200)
"""BGR: green, blue, red."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    image_bgr: NDArray[np.uint8]  # (h, w, 3)
    scale: float
    """Pixels of the thumbnail for one of the upright image."""


@dataclass(frozen=True, slots=True)
class Tile:
    thumbnail: Thumbnail | None
    """None for a sample that cannot be decoded."""
    report: SampleReport


def make_thumbnail(image_bgr: NDArray[np.uint8], pixels: int = 1) -> Thumbnail:
    """The upright image (H, W, 3), each of its pixels made of so many across and down, at most `THUMBNAIL_SIDE` on its
    longer side."""
    height, width = image_bgr.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Thumbnail(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA).astype(np.uint8), scale / pixels)


def draw_report(tiles: Sequence[Tile]) -> bytes:
    """PNG, at most eight samples in a row, in the order given."""
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(tiles)))))
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * _TILE[1], columns * _TILE[0], 3), _PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * _TILE[1], number % columns * _TILE[0]
        sheet[top : top + _TILE[1], left : left + _TILE[0]] = _draw_tile(tile)
    done, encoded = cv2.imencode(".png", sheet)
    if not done:
        raise ValueError("OpenCV cannot encode the report")
    return encoded.tobytes()


def _draw_tile(tile: Tile) -> NDArray[np.uint8]:
    canvas = np.full((_TILE[1], _TILE[0], 3), _PAPER, np.uint8)
    colour = _colour(tile.report)
    if tile.thumbnail is None:
        corner = (_MARGIN, _MARGIN)
        cv2.rectangle(canvas, corner, (_MARGIN + THUMBNAIL_SIDE, _MARGIN + THUMBNAIL_SIDE), _FAINT, cv2.FILLED)
    else:
        image = _with_face(tile.thumbnail, tile.report, colour)
        height, width = image.shape[:2]
        left = _MARGIN + (THUMBNAIL_SIDE - width) // 2
        canvas[_MARGIN : _MARGIN + height, left : left + width] = image
    base = THUMBNAIL_SIDE + 2 * _MARGIN + _LINE
    for line, (text, ink) in enumerate(_lines(tile.report, colour)):
        cv2.putText(canvas, text, (_MARGIN, base + line * _LINE), _FONT, 0.42, ink, 1, cv2.LINE_AA)
    _draw_weight(canvas, tile.report.weight, colour)
    return canvas


def _with_face(thumbnail: Thumbnail, report: SampleReport, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    image = thumbnail.image_bgr.copy()
    if report.box is not None:
        x1, y1, x2, y2 = (round(value * thumbnail.scale) for value in report.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2 if x2 - x1 > _SMALL_FACE else 1)
    for x, y in report.landmarks or ():
        cv2.circle(image, (round(x * thumbnail.scale), round(y * thumbnail.scale)), 2, colour, cv2.FILLED)
    return image


def _lines(report: SampleReport, colour: tuple[int, int, int]) -> list[tuple[str, tuple[int, int, int]]]:
    core = "" if report.core_rank is None else f", core {report.core_rank}"
    status = f"used{core}" if report.reason is None else report.reason.value
    lines = [(f"{report.index}: {status}", colour)]
    if report.face_quality is not None and report.eye_distance is not None and report.detection_score is not None:
        pose = report.face_quality.pose
        quality = "-" if report.quality is None else f"{report.quality:.0f}"
        group = "-" if report.group is None else str(report.group)
        lines += [
            (f"quality {quality}  group {group}  score {report.detection_score:.2f}", _INK),
            (f"eyes {report.eye_distance:.0f} px  yaw {pose.yaw:+.0f}  roll {pose.roll:+.0f}", _INK),
            (f"sharp {report.face_quality.sharpness:.0f}  bright {report.face_quality.brightness:.2f}", _INK),
        ]
    if report.reason is None:
        change = "" if report.change is None else f"  change {report.change:.4f}"
        lines.append((f"weight {report.weight:.3f}{change}", _INK))
    return lines


def _draw_weight(canvas: NDArray[np.uint8], weight: float, colour: tuple[int, int, int]) -> None:
    """A bar along the lower edge: full for a sample that is the whole template."""
    top, bottom = _TILE[1] - _MARGIN, _TILE[1] - 2
    cv2.rectangle(canvas, (_MARGIN, top), (_MARGIN + THUMBNAIL_SIDE, bottom), _FAINT, cv2.FILLED)
    if weight > 0.0:
        length = max(1, round(THUMBNAIL_SIDE * min(1.0, weight)))
        cv2.rectangle(canvas, (_MARGIN, top), (_MARGIN + length, bottom), colour, cv2.FILLED)


def _colour(report: SampleReport) -> tuple[int, int, int]:
    if report.reason is not None:
        return _REJECTED
    return _USED if report.core_rank is None else _CORE
