"""What a fuzzer starts from: small valid and hostile inputs for each target, made by generators."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import msgpack
import numpy as np
import orjson

from service.engine.codec import seal_job, seal_reply
from service.store.records import encode_material, encode_template
from service.vision.image_format import ImageFormat, identify_format
from tests.api.smuggling import BAD_HOSTS, SMUGGLED
from tests.engine.fakes import FakeProcessor, make_request
from tests.fuzzing.sealed_targets import ENGINE_SEALER, JOB, JOB_CONTEXT, REPLY_CONTEXT, SEALER, error_reply
from tests.hostile.corpus import edges, kinds, pixel_bombs, polyglots
from tests.hostile.heifs import heif_announcing
from tests.hostile.jpegs import scan_bomb
from tests.hostile.photographs import encode, photograph_rgb
from tests.hostile.webps import group_bomb
from tests.store.samples import FINGERPRINT, make_material, make_template
from tests.vision.clips import make_clip
from tests.vision.pictures import exif_with_orientation

MOST_BYTES = 6_000
"""Of a seed: small inputs are tried more often."""


@cache
def images() -> tuple[bytes, ...]:
    """Small hostile and ordinary files of every format."""
    made = [file.make() for files in (pixel_bombs, polyglots, edges, kinds) for file in files()]
    made += [scan_bomb(32, 32, 5), group_bomb(24, 24)]
    for brand in ("avif", "heic"):
        made += [heif_announcing(brand, 64, 48), heif_announcing(brand, 64, 48, in_code=(16_000, 16_000))]
    tiny = photograph_rgb(12, 8)
    made += [encode(tiny, name) for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")]
    made += [encode(tiny, "JPEG", progressive=True), encode(tiny, "WEBP", lossless=True)]
    return tuple(dict.fromkeys(data for data in made if len(data) <= MOST_BYTES))


def _of(*formats: ImageFormat) -> Callable[[], Iterator[bytes]]:
    return lambda: (data for data in images() if identify_format(data) in formats)


def _clips() -> Iterator[bytes]:
    frames = [np.ascontiguousarray(photograph_rgb(32, 16)[..., ::-1])] * 2
    for suffix in ("mp4", "webm"):
        yield make_clip(frames, suffix=suffix)


def _exif_blocks() -> Iterator[bytes]:
    for orientation in (1, 6, 8):
        block = exif_with_orientation(orientation).tobytes().removeprefix(b"Exif\0\0")
        yield block
        yield block.replace(b"MM\0*", b"II*\0", 1)


def _templates() -> Iterator[bytes]:
    yield encode_template(make_template())
    yield encode_template(make_template("other", "one"))


def _reply_frames() -> Iterator[bytes]:
    request = make_request("face 1", "none 2", request_id=JOB.request_id)
    [result] = FakeProcessor().work([request])
    yield ENGINE_SEALER.unseal(seal_reply(JOB.request_id, result, FINGERPRINT, ENGINE_SEALER), REPLY_CONTEXT)
    yield error_reply("overloaded")


def _job_frames() -> Iterator[bytes]:
    request = make_request("face 1", request_id=JOB.request_id)
    yield ENGINE_SEALER.unseal(
        seal_job(request, JOB.reply_stream, JOB.budget_ms, JOB.traceparent, ENGINE_SEALER).payload, JOB_CONTEXT
    )


def _frames() -> Iterator[bytes]:
    for reader in range(12):
        for row in (["text", b"bytes", 1], [1.5, [1.0, 2.0], [[1, 2]]], [bytes(40), None, [1, 2]]):
            yield bytes([len(row), reader]) + msgpack.packb(row)


def _json_bodies() -> Iterator[bytes]:
    sample = base64.b64encode(bytes(450)).decode()
    for document in (
        {"samples": [sample], "face_policy": "largest", "include": ["vector"], "subject": "a"},
        {"reference": {"template_id": "a"}, "probe": {"vector": [0.5, 1], "template_norm": 2}, "scores": "raw"},
        {"pairs": [{"reference": "a", "probe": "b"}], "operating_point": "fmr_1e-4"},
        {"references": [{"sealed_template": "AAAA"}], "probe": {"samples": [sample, sample]}},
    ):
        for size in (0, 6, 200):
            yield bytes([size]) + orjson.dumps(document)
    yield b'\x07{"samples": ["\\ud800", "' + b"A\\/" * 300 + b'"], "probe": {"vector": [NaN, 1e999]}}'


def _forms() -> Iterator[bytes]:
    part = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    sample = part % (b"samples", b'; filename="x"', b"x" * 50)
    for size in (0, 3, 100):
        yield bytes([size]) + sample + part % (b"face_policy", b"", b"largest") + b"--b--\r\n"
        yield bytes([size]) + sample * 4 + b"--b--"


_CONTENT_TYPES = (
    b"application/json; charset=utf-8",
    b"multipart/form-data; boundary=b",
    b'multipart/form-data; boundary="a b\\"c"; x=y',
    b"multipart/form-data; boundary*=utf-8''b%20c",
    b"multipart/form-data; boundary*0=a; boundary*1=b",
)
_BASE64_TEXTS = (b"AAAA", b"AA==", b"AAA=", b"A\\/B\\nCC\\r", b"A" * 700, b"A-_=", b"=AAA")
_JOB_ENTRY = msgpack.packb([b"request", b"replies", b"1500", b"00-0-0-0", b"sealed"])

_SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    **{name: _of(ImageFormat(name)) for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff")},
    "heif": _of(ImageFormat.AVIF, ImageFormat.HEIC),
    "exif": _exif_blocks,
    "density": lambda: iter((bytes(100), bytes(range(256)))),
    "sniffing": lambda: iter(images()),
    "decoding": lambda: iter(images()),
    "clips": _clips,
    "sealed_template": lambda: iter((SEALER.seal(make_template()), SEALER.seal(make_template("other", "one")))),
    "template_in_seal": _templates,
    "payload": lambda: iter((ENGINE_SEALER.seal(b"payload", JOB_CONTEXT),)),
    "frames": _frames,
    "material": lambda: iter((encode_material(make_material("one")), encode_material(make_material()))),
    "job": _job_frames,
    "reply": _reply_frames,
    "job_entry": lambda: iter((_JOB_ENTRY,)),
    "http_head": lambda: (bytes([7]) + head for head in (*SMUGGLED.values(), *BAD_HOSTS.values())),
    "content_type": lambda: iter(_CONTENT_TYPES),
    "multipart": _forms,
    "json": _json_bodies,
    "base64": lambda: (bytes([size]) + text for size in (0, 2, 100) for text in _BASE64_TEXTS),
}


def seeds_of(target: str) -> list[bytes]:
    return list(_SEEDS[target]())
