"""A stand-in for a worker whose image decoder has a hole: `python -m tests.resilience.crashing_decoder PORT SECONDS`.

Samples are really decoded. Where one holds `POISON`, the decoder writes where it must not, and the kernel ends the
process, as it does after an overflow in native code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import cv2

from service.pipeline.sample_stages import DecodedImage, decode_sample
from service.policies import image_limits
from service.settings import Settings
from service.types import SetRequest
from tests.cluster.stub_worker import StubProcessor, serve

POISON = b"these bytes overflow the decoder"
_decode = cv2.imdecode


def decode_with_a_hole(encoded: Any, flags: int) -> Any:
    if POISON in encoded.tobytes():
        ctypes.memset(0, 1, 1)
    return _decode(encoded, flags)


class DecodingProcessor(StubProcessor):
    def compute(self, requests: Sequence[SetRequest]) -> None:
        limits = image_limits(Settings().limits)
        for request in requests:
            for sample in request.samples:
                [decoded] = decode_sample(sample, limits)
                assert isinstance(decoded, DecodedImage), decoded
        super().compute(requests)


if __name__ == "__main__":
    cv2.imdecode = decode_with_a_hole
    serve(DecodingProcessor)
