"""What was uploaded, told apart by content: what goes to the engine, and what need not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.errors import SampleRejectedError
from service.pipeline.set_keys import digest_sample
from service.types import EmbeddedSample, RejectedSample, RejectionReason, Sample, SampleMaterial
from service.vision.clip_structure import sniff_clip
from service.vision.sniffing import ImageLimits, sniff_image


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Of one sample."""

    max_sample_bytes: int
    image_limits: ImageLimits


@dataclass(frozen=True, slots=True)
class Upload:
    digests: tuple[str, ...]
    """In the order of upload, repetitions included."""
    accepted: tuple[Sample, ...]
    """Distinct, sorted by digest."""
    rejected: tuple[RejectedSample, ...]
    known: Mapping[str, EmbeddedSample] = field(default_factory=dict)
    """By digest, without their images."""

    def joined_to(self, digests: Sequence[str], material: SampleMaterial) -> Upload:
        """The samples of a kept template first, then these. What became of a kept one is known."""
        kept = set(digests)
        return Upload(
            digests=(*digests, *self.digests),
            accepted=tuple(sample for sample in self.accepted if sample.digest not in kept),
            rejected=(*material.rejected, *(sample for sample in self.rejected if sample.digest not in kept)),
            known={sample.digest: sample for sample in material.samples},
        )


def read_upload(samples: Sequence[bytes], limits: UploadLimits, digests: Sequence[str] | None = None) -> Upload:
    """Decodes nothing: looks at lengths and headers. `digests`: of the samples, where they are at hand."""
    digests = tuple(map(digest_sample, samples) if digests is None else digests)
    accepted: list[Sample] = []
    rejected: list[RejectedSample] = []
    for digest, data in sorted(dict(zip(digests, samples, strict=True)).items()):
        reason = _refusal(data, limits)
        if reason is None:
            accepted.append(Sample(digest, data))
        else:
            rejected.append(RejectedSample(digest, reason))
    return Upload(digests, tuple(accepted), tuple(rejected))


def _refusal(data: bytes, limits: UploadLimits) -> RejectionReason | None:
    """Why a sample need not travel to the engine at all."""
    if not data:
        return RejectionReason.EMPTY
    if len(data) > limits.max_sample_bytes:
        return RejectionReason.TOO_LARGE
    if sniff_clip(data) is not None:
        return None  # what it holds only a decoder can tell
    try:
        sniff_image(data, limits.image_limits)
    except SampleRejectedError as error:
        return error.reason
    return None
