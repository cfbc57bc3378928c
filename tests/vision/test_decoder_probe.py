from __future__ import annotations

import cv2
import pytest

from service.assembly import check_decoders
from service.errors import DecoderMissingError
from service.vision import heic_decoding
from service.vision.decoder_probe import missing_decoders
from service.vision.image_format import DEFAULT_FORMATS, ImageFormat


def test_what_opencv_brings_is_there() -> None:
    assert missing_decoders(set(ImageFormat) - {ImageFormat.HEIC}) == []
    check_decoders(DEFAULT_FORMATS)


def test_a_decoder_that_answers_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    assert missing_decoders([ImageFormat.AVIF, ImageFormat.GIF]) == [ImageFormat.AVIF, ImageFormat.GIF]


def test_an_encoder_that_is_missing_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "haveImageWriter", lambda suffix: suffix != ".avif")
    assert missing_decoders([ImageFormat.AVIF, ImageFormat.JPEG]) == [ImageFormat.AVIF]


def test_a_worker_refuses_to_start_without_a_decoder_that_it_was_told_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic_decoding, "pillow_heif", None)
    with pytest.raises(DecoderMissingError, match=r"accepts heic.*coreface\[heic\]"):
        check_decoders({ImageFormat.JPEG, ImageFormat.HEIC})
