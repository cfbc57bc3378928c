"""One 1:1 comparison: two sides become templates of one fingerprint, and a finite score decides."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.decisions import Comparison
from service.errors import CorefaceError, FingerprintMismatchError, InvalidVectorError, RequestError
from service.pipeline.explanation import SampleContribution, contributions
from service.pipeline.template_creation import CreatedTemplate, TemplateCreator
from service.protocols import ScoreCalibrator, TemplateSealer, TemplateStore
from service.types import ComparedTemplate, SampleMaterial, SampleReport, SetPolicies, Template
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
    """Of the template that it was answered with: tells its quality. None: held to the strictest threshold."""


@dataclass(frozen=True, slots=True)
class SealedSide:
    data: bytes


@dataclass(frozen=True, slots=True)
class SampleSide:
    samples: tuple[bytes, ...]
    policies: SetPolicies
    digests: tuple[str, ...] | None = None
    """Of the samples, where they are at hand."""


Side = StoredSide | VectorSide | SealedSide | SampleSide
SideName = Literal["reference", "probe"]


@dataclass(frozen=True, slots=True)
class SideReport:
    """What one side of the comparison was."""

    template_norm: float | None
    """None for a plain vector without one."""
    quality: float | None
    """The template norm on the pack's scale, 0..100; None for a plain vector and where the pack has none."""
    samples: tuple[SampleReport, ...] | None
    """For a sample set."""
    consistent: bool | None = None
    """Whether all faces that it was made of look like one person's; None: not known, as of a plain vector."""
    fresh: bool = False
    """Whether it is a sample set of which no template was kept."""
    contributions: tuple[SampleContribution, ...] | None = None
    """When asked for, and the side has samples."""


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
    kept_id: str | None = None
    """Of the stored template, whose material is in the store."""
    material: SampleMaterial | None = None
    """Of a template that was just made."""

    @classmethod
    def of_template(cls, template: Template | ComparedTemplate) -> Descriptor:
        report = SideReport(template.norm, template.quality, None, template.is_consistent)
        return cls(template.vector, report, template.template_id)

    @classmethod
    def of_samples(cls, created: CreatedTemplate) -> Descriptor:
        template = created.template
        return cls(
            template.vector,
            SideReport(
                template.norm, template.quality, created.reports, template.is_consistent, fresh=not created.cached
            ),
            template.template_id if created.cached else None,
            created.material,
        )


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

    async def verify(
        self, reference: Side, probe: Side, operating_point: str | None, *, explain: bool = False
    ) -> Verification:
        """With `explain`, which samples of either side carried it.

        Raises `UnknownOperatingPointError`, `UnsupportedOperatingPointError`, `TemplateNotFoundError`,
        `TemplateErasedError`, `FingerprintMismatchError`, `InvalidVectorError`, `InvalidSealedTemplateError`, and what
        `TemplateCreator.create` raises; a `RequestError` of a side names the side."""
        point = self._calibrator.resolve(operating_point)
        first, second = await self._resolve_both(reference, probe)
        calibrated = self._calibrator.calibrate(
            compare_vectors(first.vector, second.vector), first.report.template_norm, second.report.template_norm, point
        )
        comparison = decide(calibrated)
        reports = (first.report, second.report)
        if explain:
            reports = await self._explain(first, second), await self._explain(second, first)
        return Verification(comparison, self._fingerprint, *reports)

    async def _resolve_both(self, reference: Side, probe: Side) -> tuple[Descriptor, Descriptor]:
        if isinstance(reference, StoredSide) and isinstance(probe, StoredSide):
            kept = await self._store.get_compared([reference.template_id, probe.template_id])
            return self._kept("reference", kept, reference), self._kept("probe", kept, probe)
        try:
            async with asyncio.TaskGroup() as group:
                reference_task = group.create_task(self.resolve("reference", reference))
                probe_task = group.create_task(self.resolve("probe", probe))
        except* CorefaceError as errors:
            # Both sides may fail; the client can act on the first.
            raise errors.exceptions[0] from None
        return reference_task.result(), probe_task.result()

    def _kept(
        self, name: SideName, kept: Mapping[str, ComparedTemplate | RequestError], side: StoredSide
    ) -> Descriptor:
        found = kept[side.template_id]
        try:
            if isinstance(found, RequestError):
                raise found
            return self._from_template(found)
        except RequestError as error:
            raise error.at_side(name) from error

    async def _explain(self, side: Descriptor, other: Descriptor) -> SideReport:
        material = side.material
        if material is None and side.kept_id is not None:
            material = await self._store.get_material(side.kept_id)
        if material is None:
            return side.report
        return replace(side.report, contributions=await contributions(self._creator, material, other.vector))

    async def resolve(self, name: SideName, side: Side) -> Descriptor:
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
                # Verifies anywhere: the store need not know it.
                return replace(self._from_template(self._sealer.unseal(data)), kept_id=None)
            case VectorSide():
                return self._from_values(side)
            case SampleSide(samples, policies, digests):
                created = await self._creator.create(samples, policies, digests=digests, keep=False)
                return Descriptor.of_samples(created)

    def _from_template(self, template: Template | ComparedTemplate) -> Descriptor:
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
        highest = self._calibrator.highest_norm
        if norm is not None and not (math.isfinite(norm) and 0.0 < norm <= highest):
            raise InvalidVectorError(
                f"A template norm is finite, above 0 and with this pack at most {highest:.4g}: send the one that was "
                "answered with the vector."
            )
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
