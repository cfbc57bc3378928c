"""A session of numbers, given images."""

from __future__ import annotations

import numpy as np

from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from tests.vision.fake_session import FakeSession


def test_the_only_input_is_filled_in_the_networks_range() -> None:
    session = FakeSession(lambda inputs: [inputs["image"]])
    network = SessionOnPixels(session, PixelRange("rgb", mean=100.0, std=2.0))
    images_bgr = np.zeros((2, 4, 5, 3), np.uint8)
    images_bgr[..., 2] = 110
    [seen] = network.run(images_bgr)
    assert seen.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(seen[:, 0], 5)
    np.testing.assert_array_equal(seen[:, 1:], -50)
    assert network.provider == session.provider
