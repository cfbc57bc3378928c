"""Fitting images onto canvases."""

from __future__ import annotations

import numpy as np
import pytest

from service.vision.canvas import choose_canvas, fit_to_canvas


@pytest.mark.parametrize(
    ("height", "width", "index"), [(320, 320, 0), (10, 321, 1), (321, 10, 1), (640, 640, 1), (641, 10, 1), (5000, 1, 1)]
)
def test_the_smallest_canvas_that_holds_the_image(height: int, width: int, index: int) -> None:
    assert choose_canvas(height, width, (320, 640)) == index


def test_a_smaller_image_stays_as_it_is_at_the_top_left() -> None:
    image_bgr = np.full((30, 20, 3), 7, np.uint8)
    canvas_bgr = np.zeros((64, 64, 3), np.uint8)
    fitted = fit_to_canvas(image_bgr, canvas_bgr, upscale=False)
    assert (fitted.scale_x, fitted.scale_y) == (1, 1)
    assert (canvas_bgr[:30, :20] == 7).all()
    assert canvas_bgr.sum() == 30 * 20 * 3 * 7


@pytest.mark.parametrize(
    ("height", "width", "filled"),
    [(200, 100, (64, 32)), (100, 200, (32, 64)), (100, 100, (64, 64)), (30, 20, (64, 42)), (6000, 3, (64, 1))],
)
def test_the_longer_side_fills_the_canvas(height: int, width: int, filled: tuple[int, int]) -> None:
    canvas_bgr = np.zeros((64, 64, 3), np.uint8)
    fitted = fit_to_canvas(np.full((height, width, 3), 255, np.uint8), canvas_bgr, upscale=True)
    inked = canvas_bgr.any(axis=2)
    assert (inked.any(axis=1).sum(), inked.any(axis=0).sum()) == filled
    assert (fitted.scale_y, fitted.scale_x) == (filled[0] / height, filled[1] / width)
