from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vision.warping import draw_close_up


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.sampled_from([32, 112]),
    turn=st.floats(-3.2, 3.2),
    scale=st.floats(0.05, 8.0),
    shift=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
)
def test_small_and_large_images_are_drawn_as_opencv_draws_them(
    height: int, width: int, side: int, turn: float, scale: float, shift: tuple[float, float]
) -> None:
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])
    drawn = np.empty((side, side, 3), np.uint8)
    draw_close_up(image, matrix, drawn)
    np.testing.assert_array_equal(drawn, cv2.warpAffine(image, matrix, (side, side), borderValue=0.0))


@pytest.mark.parametrize("shape", [(40, 30), (400, 300)])
def test_it_is_black_beyond_the_image_and_goes_into_a_part_of_a_batch(shape: tuple[int, int]) -> None:
    batch = np.full((2, 32, 32, 3), 7, np.uint8)
    draw_close_up(np.full((*shape, 3), 200, np.uint8), np.array([[1.0, 0, 16], [0, 1, 16]]), batch[1])
    assert (batch[0] == 7).all()
    assert (batch[1, :16] == 0).all() and (batch[1, :, :16] == 0).all()
    assert (batch[1, 16:, 16:] == 200).all()
