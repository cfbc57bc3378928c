"""Clips made for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray


def make_clip(images_bgr: Sequence[NDArray[np.uint8]], *, suffix: str = "mp4", rate: int = 10, turn: int = 0) -> bytes:
    """One frame for each image, `rate` a second. `turn`: degrees that a player turns the frames by, anticlockwise."""
    target = io.BytesIO()
    with av.open(target, "w", format=suffix) as container:
        height, width = images_bgr[0].shape[:2]
        stream = container.add_stream("mpeg4" if suffix == "mp4" else "vp9", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.time_base = Fraction(1, rate)
        for number, image in enumerate(images_bgr):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return target.getvalue()
