"""Quarter turns and back."""

from __future__ import annotations

import numpy as np
import pytest

from service.types import Detection
from service.vision.turning import turn_back, turn_image


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_pixel_found_in_the_turned_image_is_where_it_was(quarter_turns: int) -> None:
    height, width = 30, 50
    image_bgr = np.zeros((height, width, 3), np.uint8)
    image_bgr[7, 41] = 255
    y, x, _ = np.argwhere(turn_image(image_bgr, quarter_turns))[0]
    landmarks = np.tile(np.array([x, y], np.float32), (5, 1))
    found = Detection((float(x - 2), float(y - 1), float(x + 2), float(y + 1)), 0.9, landmarks)
    back = turn_back(found, quarter_turns, height=height, width=width)
    np.testing.assert_array_equal(back.landmarks, np.tile([41, 7], (5, 1)))
    half_width, half_height = (2, 1) if quarter_turns % 2 == 0 else (1, 2)
    assert back.box == (41 - half_width, 7 - half_height, 41 + half_width, 7 + half_height)
    assert back.score == found.score
