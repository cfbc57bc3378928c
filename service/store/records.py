"""Templates and embedded samples as frames, for the store and for the wire between processes."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from service.store.frames import FrameError, FrameReader, array_field, pack_frame
from service.types import (
    ComparedTemplate,
    ConsistencyPolicy,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    HeadPose,
    RejectedSample,
    RejectionReason,
    SampleMaterial,
    SampleReport,
    SetPolicies,
    Template,
    are_one_group,
)

TEMPLATE_RECORD = 2
"""Version of the template's layout; an unknown one is refused."""
MATERIAL_RECORD = 1
"""The same for the material."""

_TEMPLATE_FIELDS = 10
REPORT_FIELDS = 15
_GROUP_FIELD = 12
_FACE_FIELDS = 5
_MATERIAL_FIELDS = 6
EMBEDDED_SAMPLE_FIELDS = 3
REJECTED_SAMPLE_FIELDS = 5

_Choice = TypeVar("_Choice", bound=StrEnum)


def encode_template(template: Template) -> bytes:
    """The whole template as one frame."""
    return pack_frame(
        [
            TEMPLATE_RECORD,
            template.template_id,
            template.fingerprint,
            array_field(template.vector),
            template.norm,
            template.created_at,
            template.expires_at,
            [report_row(report) for report in template.reports],
            template.quality,
            template.subject,
        ]
    )


def decode_template(frame: bytes) -> Template:
    """Raises `FrameError`."""
    reader = FrameReader.unpack(frame, _TEMPLATE_FIELDS)
    if reader.integer() != TEMPLATE_RECORD:
        raise FrameError("The template has an unknown layout.")
    return Template(
        template_id=reader.text(),
        fingerprint=reader.text(),
        vector=reader.array(-1),
        norm=reader.number(),
        created_at=reader.number(),
        expires_at=reader.number(),
        reports=tuple(read_report(row) for row in reader.rows(REPORT_FIELDS)),
        quality=reader.optional(FrameReader.number),
        subject=reader.optional(FrameReader.text),
    )


def decode_compared(frame: bytes) -> ComparedTemplate:
    """Of the frame of a whole template, what a comparison needs: reading its reports takes five times as long. Raises
    `FrameError`."""
    reader = FrameReader.unpack(frame, _TEMPLATE_FIELDS)
    if reader.integer() != TEMPLATE_RECORD:
        raise FrameError("The template has an unknown layout.")
    template_id, fingerprint, vector, norm = reader.text(), reader.text(), reader.array(-1), reader.number()
    reader.skip(2)
    groups = [_read_group(row) for row in reader.rows(REPORT_FIELDS)]
    quality = reader.optional(FrameReader.number)
    return ComparedTemplate(template_id, fingerprint, vector, norm, quality, are_one_group(groups))


def embedded_sample_row(sample: EmbeddedSample) -> list[object]:
    """A row of `EMBEDDED_SAMPLE_FIELDS` fields."""
    return [sample.digest, _face_row(sample.face), [_face_row(face) for face in sample.others]]


def read_embedded_sample(row: FrameReader) -> EmbeddedSample:
    """Raises `FrameError`."""
    return EmbeddedSample(
        digest=row.text(),
        face=_read_face(row.row(_FACE_FIELDS)),
        others=tuple(_read_face(face) for face in row.rows(_FACE_FIELDS)),
    )


def _face_row(face: EmbeddedFace) -> list[object]:
    return [
        detection_row(face.detection),
        quality_row(face.quality),
        array_field(face.embedding.vector),
        face.embedding.norm,
        face.seconds,
    ]


def _read_face(row: FrameReader) -> EmbeddedFace:
    return EmbeddedFace(
        detection=read_detection(row),
        quality=read_quality(row),
        embedding=Embedding(row.array(-1), row.number()),
        seconds=row.optional(FrameReader.number),
    )


def rejected_sample_row(sample: RejectedSample) -> list[object]:
    """A row of `REJECTED_SAMPLE_FIELDS` fields, the reason first."""
    return [
        sample.reason.value,
        sample.digest,
        sample.detection and detection_row(sample.detection),
        sample.quality and quality_row(sample.quality),
        sample.feature_norm,
    ]


def read_rejected_sample(row: FrameReader, reason: RejectionReason) -> RejectedSample:
    """What follows the reason. Raises `FrameError`."""
    return RejectedSample(
        digest=row.text(),
        reason=reason,
        detection=row.optional(read_detection),
        quality=row.optional(read_quality),
        feature_norm=row.optional(FrameReader.number),
    )


def read_rejected_samples(reader: FrameReader) -> tuple[RejectedSample, ...]:
    """Rows of `rejected_sample_row`. Raises `FrameError`."""
    return tuple(
        read_rejected_sample(row, read_choice(row, RejectionReason)) for row in reader.rows(REJECTED_SAMPLE_FIELDS)
    )


def encode_material(material: SampleMaterial) -> bytes:
    """The whole material as one frame."""
    return pack_frame(
        [
            MATERIAL_RECORD,
            [embedded_sample_row(sample) for sample in material.samples],
            [rejected_sample_row(sample) for sample in material.rejected],
            material.policies.face.value,
            material.policies.consistency.value,
            material.embedding_fingerprint,
        ]
    )


def decode_material(frame: bytes) -> SampleMaterial:
    """Raises `FrameError`."""
    reader = FrameReader.unpack(frame, _MATERIAL_FIELDS)
    if reader.integer() != MATERIAL_RECORD:
        raise FrameError("The material has an unknown layout.")
    return SampleMaterial(
        samples=tuple(read_embedded_sample(row) for row in reader.rows(EMBEDDED_SAMPLE_FIELDS)),
        rejected=read_rejected_samples(reader),
        policies=SetPolicies(read_choice(reader, FacePolicy), read_choice(reader, ConsistencyPolicy)),
        embedding_fingerprint=reader.text(),
    )


def detection_row(detection: Detection) -> list[object]:
    return [list(detection.box), detection.score, array_field(detection.landmarks)]


def read_detection(row: FrameReader) -> Detection:
    """Raises `FrameError`."""
    fields = row.row(3)
    return Detection(read_box(fields), fields.number(), fields.array(5, 2))


def quality_row(quality: FaceQuality) -> list[object]:
    return [quality.sharpness, quality.brightness, quality.pose.yaw, quality.pose.roll]


def read_quality(row: FrameReader) -> FaceQuality:
    """Raises `FrameError`."""
    sharpness, brightness, yaw, roll = row.numbers(4)
    return FaceQuality(sharpness, brightness, HeadPose(yaw, roll))


def read_box(row: FrameReader) -> tuple[float, float, float, float]:
    """Raises `FrameError`."""
    x1, y1, x2, y2 = row.numbers(4)
    return x1, y1, x2, y2


def read_choice(row: FrameReader, choices: type[_Choice]) -> _Choice:
    """Raises `FrameError` for a text that is none of the choices."""
    text = row.text()
    try:
        return choices(text)
    except ValueError as error:
        raise FrameError(f"Expected a {choices.__name__}.") from error


def report_row(report: SampleReport) -> list[object]:
    """A row of `REPORT_FIELDS` fields."""
    return [
        report.index,
        report.digest,
        report.status,
        report.reason and report.reason.value,
        report.box and list(report.box),
        report.landmarks and [list(point) for point in report.landmarks],
        report.detection_score,
        report.face_quality and quality_row(report.face_quality),
        report.feature_norm,
        report.core_rank,
        report.weight,
        report.quality,
        report.group,
        report.change,
        report.seconds,
    ]


def read_report(row: FrameReader) -> SampleReport:
    """Raises `FrameError`."""
    return SampleReport(
        index=row.integer(),
        digest=row.text(),
        status=row.text(),
        reason=row.optional(lambda field: read_choice(field, RejectionReason)),
        box=row.optional(read_box),
        landmarks=row.optional(_read_points),
        detection_score=row.optional(FrameReader.number),
        face_quality=row.optional(read_quality),
        feature_norm=row.optional(FrameReader.number),
        core_rank=row.optional(FrameReader.integer),
        weight=row.number(),
        quality=row.optional(FrameReader.number),
        group=row.optional(FrameReader.integer),
        change=row.optional(FrameReader.number),
        seconds=row.optional(FrameReader.number),
    )


def _read_group(report: FrameReader) -> int | None:
    report.skip(_GROUP_FIELD)
    return report.optional(FrameReader.integer)


def _read_points(field: FrameReader) -> tuple[tuple[float, float], ...]:
    return tuple([(x, y) for x, y in field.rows_of_numbers(2)])
