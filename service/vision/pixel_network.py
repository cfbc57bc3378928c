"""Any session that takes numbers, made into a network that takes images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.protocols import InferenceSession
from service.vision.pixel_range import PixelRange


class SessionOnPixels:
    """A `PixelNetwork` that fills the only input of a session from numpy."""

    def __init__(self, session: InferenceSession, pixel_range: PixelRange) -> None:
        self._session = session
        self._pixel_range = pixel_range

    @property
    def provider(self) -> str:
        return self._session.provider

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        return self._session.run({self._session.input_names[0]: self._pixel_range.to_input(images_bgr)})
