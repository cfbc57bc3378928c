"""Hostile files are decoded within the limits or refused for a stable reason, and refused before any decoder."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import cv2
import numpy as np
import pytest

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision import decoding, heic_decoding
from service.vision.decoding import decode_announced
from service.vision.image_format import ImageFormat
from service.vision.sniffing import ImageHeader, sniff_image
from tests.hostile.corpus import HostileFile, hostile_files, truncations
from tests.vision.pictures import LIMITS

EVERY_FORMAT = dataclasses.replace(LIMITS, formats=frozenset(ImageFormat))
FILES = list(hostile_files())
REFUSED_BY_HEADER = [file for file in FILES if file.reason is not None and not file.by_decoder]
PAST_HEADER = [file for file in FILES if file.reason is None or file.by_decoder]


def named(files: list[HostileFile]) -> list[object]:
    return [pytest.param(file, id=file.name) for file in files]


def header_of(data: bytes) -> ImageHeader | RejectionReason:
    try:
        return sniff_image(data, EVERY_FORMAT)
    except SampleRejectedError as error:
        return error.reason


def test_no_two_files_have_one_name() -> None:
    names = [file.name for file in FILES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("file", named(REFUSED_BY_HEADER))
def test_what_is_refused_is_refused_by_its_header(file: HostileFile) -> None:
    assert header_of(file.make()) is file.reason


@pytest.mark.parametrize("file", named(PAST_HEADER))
def test_what_passes_is_decoded_or_found_unreadable(file: HostileFile) -> None:
    data = file.make()
    header = header_of(data)
    assert isinstance(header, ImageHeader), header
    assert header.cost.milliseconds <= EVERY_FORMAT.max_decode_ms
    if header.format is ImageFormat.HEIC and not heic_decoding.has_decoder():
        pytest.skip("nothing installed here decodes HEIC: coreface[heic]")
    if file.reason is None:
        image = decode_announced(data, header)
        assert image.dtype == np.uint8
        assert sorted(image.shape[:2]) == sorted(-(-side // header.scale) for side in (header.width, header.height))
    else:
        with pytest.raises(SampleRejectedError) as caught:
            decode_announced(data, header)
        assert caught.value.reason is file.reason


def test_a_file_cut_off_anywhere_is_refused_for_a_stable_reason_and_most_by_its_header() -> None:
    decoded_anyway = []
    for name, data in truncations():
        header = header_of(data)
        if isinstance(header, ImageHeader):
            decoded_anyway.append(name)
        else:
            assert header in (RejectionReason.UNREADABLE, RejectionReason.UNSUPPORTED_TYPE), name
    assert decoded_anyway == []


def test_refusing_needs_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(cv2, "imdecode", decode)
    monkeypatch.setattr(heic_decoding, "decode_heic", decode)
    for file in REFUSED_BY_HEADER:
        with pytest.raises(SampleRejectedError):
            decoding.decode_image(file.make(), EVERY_FORMAT)


def test_the_header_check_loads_no_decoder() -> None:
    program = (
        "import sys, service.pipeline.upload_reading; "
        "sys.exit(bool({'cv2', 'PIL', 'pillow_heif', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "AVIF"])
def test_by_default_no_further_format_is_accepted(image_format: str) -> None:
    data = next(file for file in FILES if file.name == f"{image_format.lower()} of one pixel").make()
    with pytest.raises(SampleRejectedError) as caught:
        sniff_image(data, LIMITS)
    assert caught.value.reason.value == f"{image_format.lower()}_not_accepted"
