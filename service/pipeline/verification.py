"""One 1:1 comparison: two sides become templates of one fingerprint, and a finite score decides."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import CorefaceError, FingerprintMismatchError, InvalidVectorError, RequestError
from service.pipeline.template_creation import SetPolicies, TemplateCreator
from service.protocols import ScoreCalibrator, TemplateSealer, TemplateStore
from service.types import Comparison, SampleReport, Template
from service.vision.comparison import compare_vectors, decide


@dataclass(frozen=True, slots=True)
class StoredSide:
    template_id: str


@dataclass(frozen=True, slots=True)
class VectorSide:
    values: tuple[float, ...]
    """D numbers of any finite, non-zero length; compared by direction."""
    fingerprint: str | None
    """Checked when given."""
    template_norm: float | None = None
    """Of the template that it was answered with: tells its quality. None: taken for the poorest."""


@dataclass(frozen=True, slots=True)
class SealedSide:
    data: bytes


@dataclass(frozen=True, slots=True)
class SampleSide:
    samples: tuple[bytes, ...]
    policies: SetPolicies


Side = StoredSide | VectorSide | SealedSide | SampleSide


@dataclass(frozen=True, slots=True)
class SideReport:
    """What one side of the comparison was."""

    template_norm: float | None
    """None for a plain vector without one."""
    quality: float | None
    """The template norm on the pack's scale, 0..100; None for a plain vector and where the pack has none."""
    samples: tuple[SampleReport, ...] | None
    """For a sample set."""


@dataclass(frozen=True, slots=True)
class Verification:
    comparison: Comparison
    fingerprint: str
    reference: SideReport
    probe: SideReport


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A side as it is compared."""

    vector: NDArray[np.float32]  # (D,)
    report: SideReport

    @classmethod
    def of_template(cls, template: Template, samples: tuple[SampleReport, ...] | None = None) -> Descriptor:
        return cls(template.vector, SideReport(template.norm, template.quality, samples))


class Verifier:
    """Compares two sides with one pack. Every failure is an error; none is ever a decision."""

    def __init__(
        self,
        creator: TemplateCreator,
        store: TemplateStore,
        sealer: TemplateSealer,
        *,
        fingerprint: str,
        width: int,
        calibrator: ScoreCalibrator,
    ) -> None:
        self._creator = creator
        self._store = store
        self._sealer = sealer
        self._fingerprint = fingerprint
        self._width = width
        self._calibrator = calibrator

    async def verify(self, reference: Side, probe: Side, operating_point: str | None) -> Verification:
        """Raises `UnknownOperatingPointError`, `UnsupportedOperatingPointError`, `TemplateNotFoundError`,
        `TemplateErasedError`, `FingerprintMismatchError`, `InvalidVectorError`, `InvalidSealedTemplateError`, and what
        `TemplateCreator.create` raises; a `RequestError` of a side names the side."""
        point = self._calibrator.resolve(operating_point)
        try:
            async with asyncio.TaskGroup() as group:
                reference_task = group.create_task(self.resolve("reference", reference))
                probe_task = group.create_task(self.resolve("probe", probe))
        except* CorefaceError as errors:
            # Both sides may fail; the client can act on the first.
            raise errors.exceptions[0] from None
        first, second = reference_task.result(), probe_task.result()
        calibrated = self._calibrator.calibrate(
            compare_vectors(first.vector, second.vector), first.report.template_norm, second.report.template_norm, point
        )
        return Verification(decide(calibrated), self._fingerprint, first.report, second.report)

    async def resolve(self, name: Literal["reference", "probe"], side: Side) -> Descriptor:
        """One side of a comparison. Raises as `verify`."""
        try:
            return await self._resolve(side)
        except RequestError as error:
            raise error.at_side(name) from error

    async def _resolve(self, side: Side) -> Descriptor:
        match side:
            case StoredSide(template_id):
                return self._from_template(await self._store.get(template_id))
            case SealedSide(data):
                return self._from_template(self._sealer.unseal(data))
            case VectorSide():
                return self._from_values(side)
            case SampleSide(samples, policies):
                created = await self._creator.create(samples, policies, keep=False)
                return Descriptor.of_template(created.template, created.reports)

    def _from_template(self, template: Template) -> Descriptor:
        self._check_fingerprint(template.fingerprint)
        return Descriptor.of_template(template)

    def _from_values(self, side: VectorSide) -> Descriptor:
        if side.fingerprint is not None:
            self._check_fingerprint(side.fingerprint)
        if len(side.values) != self._width:
            raise InvalidVectorError(
                f"The vector has {len(side.values)} numbers; this pack's templates have {self._width}."
            )
        norm = side.template_norm
        if norm is not None and not (math.isfinite(norm) and norm > 0.0):
            raise InvalidVectorError("A template norm is finite and above 0.")
        vector = np.asarray(side.values, np.float64)
        peak = float(np.abs(vector).max())
        if not np.isfinite(peak) or peak < 1e-6:
            raise InvalidVectorError("The vector must be finite and must not be zero.")
        vector /= peak  # so that the squares of the next line cannot overflow
        vector /= np.linalg.norm(vector)
        return Descriptor(vector.astype(np.float32), SideReport(norm, None, None))

    def _check_fingerprint(self, fingerprint: str) -> None:
        if fingerprint != self._fingerprint:
            raise FingerprintMismatchError(
                f"One side was made by pack {fingerprint}, the service runs {self._fingerprint}; "
                "templates of different packs are never compared."
            )
