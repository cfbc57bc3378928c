"""OpenCV takes its pixel limit from our limits, not from its default."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

from service.vision.decoder_environment import decoder_environment
from tests.vision.pictures import LIMITS

_DECODE = """
import cv2, numpy
data = cv2.imencode(".png", numpy.zeros((100, 100, 3), numpy.uint8))[1]
try:
    cv2.imdecode(data, cv2.IMREAD_COLOR)
    print("decoded")
except cv2.error:
    print("refused")
"""


def test_the_decoder_refuses_above_the_limit_and_only_there() -> None:
    answers = []
    for max_pixels in (9_999, 10_000):
        variables = decoder_environment(dataclasses.replace(LIMITS, max_pixels=max_pixels))
        result = subprocess.run(
            [sys.executable, "-c", _DECODE], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        answers.append(result.stdout.strip())
    assert answers == ["refused", "decoded"]
