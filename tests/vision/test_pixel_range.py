"""Pixels to network input."""

from __future__ import annotations

import numpy as np

from service.vision.pixel_range import PixelRange


def test_order_range_and_layout() -> None:
    images_bgr = np.zeros((2, 4, 5, 3), np.uint8)
    images_bgr[1, 2, 3] = (10, 20, 255)
    network_input = PixelRange("rgb", mean=127.5, std=127.5).to_input(images_bgr)
    assert network_input.shape == (2, 3, 4, 5)
    assert network_input.dtype == np.float32
    np.testing.assert_allclose(network_input[1, :, 2, 3], [1.0, (20 - 127.5) / 127.5, (10 - 127.5) / 127.5], rtol=1e-6)
    assert (network_input[0] == -1).all()


def test_bgr_in_full_range_is_untouched() -> None:
    images_bgr = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    network_input = PixelRange("bgr", mean=0.0, std=1.0).to_input(images_bgr)
    np.testing.assert_array_equal(network_input.transpose(0, 2, 3, 1), images_bgr)
