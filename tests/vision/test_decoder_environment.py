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


_WORKER = """
import asyncio, os, sys, types

async def run_worker(settings):
    print(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"], "cv2" in sys.modules)

sys.modules["service.engine.worker"] = types.SimpleNamespace(run_worker=run_worker)
from service.cli.processes import worker
worker()
"""


def test_a_worker_sets_the_limit_before_opencv_is_loaded() -> None:
    environment = {**os.environ, "COREFACE_LIMITS__MAX_MEGAPIXELS": "7"}
    result = subprocess.run(
        [sys.executable, "-c", _WORKER], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["7000000", "False"]
