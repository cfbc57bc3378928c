"""uint8 pixels -> network input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PixelRange:
    """`(pixel - mean) / std`, one value for all channels, and the order of the channels."""

    color_order: Literal["bgr", "rgb"]
    mean: float
    std: float

    def to_input(self, images_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, 3) BGR, 0..255 -> (B, 3, H, W) in the network's order and range."""
        channels = (2, 1, 0) if self.color_order == "rgb" else (0, 1, 2)
        batch, height, width, _ = images_bgr.shape
        network_input = np.empty((batch, 3, height, width), np.float32)
        for position, channel in enumerate(channels):
            network_input[:, position] = images_bgr[..., channel]
        if self.mean != 0:
            network_input -= np.float32(self.mean)
        if self.std != 1:
            network_input /= np.float32(self.std)
        return network_input
