"""The readers of sealed templates and of frames, as a fuzzer calls them: what is outside the seal, and what would be
inside it if a key were lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from service.engine.codec import FRAME_VERSION, SealedJob, unseal_job, unseal_reply
from service.errors import CorefaceError, InvalidSealedTemplateError, SealedTemplateExpiredError
from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.records import decode_material, decode_template, encode_material, encode_template
from service.store.sealing import AesGcmTemplateSealer, PayloadSealer, SealingPurpose, UnsealingError
from service.types import SetResult
from tests.store.samples import FINGERPRINT, KEY, make_template

SEALER = AesGcmTemplateSealer((KEY,), clock=lambda: 0.0)
ENGINE_SEALER = PayloadSealer((KEY,), SealingPurpose.ENGINE)
JOB = SealedJob("request", "replies", 1500, "", b"")
JOB_CONTEXT = f"job\n{FINGERPRINT}\nrequest\nreplies\n1500\n"
REPLY_CONTEXT = f"reply\n{FINGERPRINT}\nrequest"

_READERS: tuple[Callable[[FrameReader], object], ...] = (
    FrameReader.text,
    FrameReader.data,
    FrameReader.integer,
    FrameReader.number,
    lambda reader: reader.array(-1),
    lambda reader: reader.array(5, 2),
    lambda reader: reader.array(-1, 2),
    lambda reader: reader.numbers(2),
    lambda reader: reader.rows(2),
    lambda reader: reader.row_of(1, 2, 3),
    lambda reader: reader.many(FrameReader.integer),
    lambda reader: reader.optional(FrameReader.number),
)


def sealed_template(data: bytes) -> None:
    SEALER.id_of(data)
    with suppress(InvalidSealedTemplateError, SealedTemplateExpiredError):
        template = SEALER.unseal(data)
        assert SEALER.id_of(data) == template.template_id


def template_in_seal(data: bytes) -> None:
    """Sealed with the right key under the header of another template."""
    try:
        template = decode_template(data)
    except FrameError:
        return
    again = encode_template(template)
    assert encode_template(decode_template(again)) == again
    sealed = SEALER.seal(replace(template, template_id=make_template().template_id, fingerprint=FINGERPRINT))
    with suppress(SealedTemplateExpiredError):
        SEALER.unseal(sealed)


def payload(data: bytes) -> None:
    with suppress(UnsealingError):
        ENGINE_SEALER.unseal(data, JOB_CONTEXT)


def frames(data: bytes) -> None:
    """The first two bytes say how many fields there are, and which reader takes the first of them."""
    count, reader = (data + bytes(2))[:2]
    with suppress(FrameError):
        row = FrameReader.unpack(data[2:], count % 4)
        for field in range(row.count):
            _READERS[(reader + field) % len(_READERS)](row)


def material(data: bytes) -> None:
    with suppress(FrameError):
        again = encode_material(decode_material(data))
        assert encode_material(decode_material(again)) == again


def job(data: bytes) -> None:
    sealed = replace(JOB, payload=ENGINE_SEALER.seal(data, JOB_CONTEXT))
    with suppress(FrameError):
        assert unseal_job(sealed, FINGERPRINT, ENGINE_SEALER).request_id == JOB.request_id


def reply(data: bytes) -> None:
    sealed = ENGINE_SEALER.seal(data, REPLY_CONTEXT)
    with suppress(FrameError):
        answer = unseal_reply(JOB.request_id, sealed, FINGERPRINT, ENGINE_SEALER)
        assert isinstance(answer, SetResult | CorefaceError)


def job_entry(data: bytes) -> None:
    """A row of field values as a stream entry holds them, msgpack for the fuzzer's sake."""
    with suppress(FrameError):
        row = FrameReader.unpack(data, 5)
        SealedJob.from_fields({name: row.data() for name in (b"i", b"r", b"b", b"t", b"p")})


def error_reply(code: str) -> bytes:
    """The frame of an error, for the corpus."""
    return pack_frame([[FRAME_VERSION, JOB.request_id, code, "detail"]])


SEALED_TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (sealed_template, template_in_seal, payload, frames, material, job, reply, job_entry)
}
