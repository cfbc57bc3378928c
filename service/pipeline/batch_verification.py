"""Many 1:1 comparisons in one request. Each pair is decided for itself, as `Verifier` would decide it; a pair that
cannot be compared has its error, and the rest go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.decisions import Comparison
from service.errors import FingerprintMismatchError, RequestError
from service.pipeline.verification import Descriptor, SampleSide, Side, SideReport, StoredSide, Verifier
from service.protocols import ScoreCalibrator, TemplateStore
from service.types import ComparedTemplate
from service.vision.comparison import compare_rows, decide


@dataclass(frozen=True, slots=True)
class ComparedPair:
    comparison: Comparison
    reference: SideReport
    probe: SideReport


Outcome = ComparedPair | RequestError
"""Of one pair. An error is no decision."""


@dataclass(frozen=True, slots=True)
class BatchVerification:
    outcomes: tuple[Outcome, ...]
    """In the order asked for."""
    operating_point: str
    fmr: float
    fingerprint: str
    probe: SideReport | None
    """The one that all references were compared with; None where each pair has its own."""


class BatchVerifier:
    """Compares many pairs with one pack."""

    def __init__(
        self, verifier: Verifier, store: TemplateStore, calibrator: ScoreCalibrator, *, fingerprint: str
    ) -> None:
        self._verifier = verifier
        self._store = store
        self._calibrator = calibrator
        self._fingerprint = fingerprint

    async def verify_pairs(self, pairs: Sequence[tuple[str, str]], operating_point: str | None) -> BatchVerification:
        """Pairs of template ids (reference, probe). Each template is read once.

        Raises `UnknownOperatingPointError`, `UnsupportedOperatingPointError`, `StoreUnavailableError`.
        """
        point = self._calibrator.resolve(operating_point)
        kept = await self._store.get_compared(sorted({template_id for pair in pairs for template_id in pair}))
        sides = {template_id: self._descriptor(found) for template_id, found in kept.items()}
        return await self._decide([(sides[reference], sides[probe]) for reference, probe in pairs], point, None)

    async def verify_references(
        self, references: Sequence[Side], probe: Side, operating_point: str | None
    ) -> BatchVerification:
        """One probe against a handful of references, none of them a sample set.

        Raises as `verify_pairs`, and what is wrong with the probe.
        """
        point = self._calibrator.resolve(operating_point)
        if any(isinstance(side, SampleSide) for side in references):
            raise ValueError("a reference is no sample set")
        presented = await self._verifier.resolve("probe", probe)
        stored = [side.template_id for side in references if isinstance(side, StoredSide)]
        kept = await self._store.get_compared(sorted(set(stored)))
        sides = [
            self._descriptor(kept[side.template_id])
            if isinstance(side, StoredSide)
            else await self._descriptor_of(side)
            for side in references
        ]
        return await self._decide([(side, presented) for side in sides], point, presented.report)

    def _descriptor(self, found: ComparedTemplate | RequestError) -> Descriptor | RequestError:
        if isinstance(found, RequestError):
            return found
        if found.fingerprint != self._fingerprint:
            return FingerprintMismatchError(
                f"The template was made by pack {found.fingerprint}, the service runs {self._fingerprint}; templates "
                "of different packs are never compared."
            )
        return Descriptor.of_template(found)

    async def _descriptor_of(self, side: Side) -> Descriptor | RequestError:
        try:
            return await self._verifier.resolve("reference", side)
        except RequestError as error:
            return error

    async def _decide(
        self,
        sides: Sequence[tuple[Descriptor | RequestError, Descriptor | RequestError]],
        point: str,
        probe: SideReport | None,
    ) -> BatchVerification:
        outcomes = await asyncio.to_thread(self._compare, sides, point)
        rate = self._calibrator.false_match_rate(point)
        return BatchVerification(tuple(outcomes), point, rate, self._fingerprint, probe)

    def _compare(
        self, sides: Sequence[tuple[Descriptor | RequestError, Descriptor | RequestError]], point: str
    ) -> list[Outcome]:
        whole = [
            (first, second)
            for first, second in sides
            if isinstance(first, Descriptor) and isinstance(second, Descriptor)
        ]
        comparisons = iter(self._compare_whole(whole, point))
        outcomes: list[Outcome] = []
        for pair in sides:
            reference, probe = pair
            if isinstance(reference, RequestError):
                outcomes.append(reference.at_side("reference"))
            elif isinstance(probe, RequestError):
                outcomes.append(probe.at_side("probe"))
            else:
                outcomes.append(next(comparisons))
        return outcomes

    def _compare_whole(self, pairs: Sequence[tuple[Descriptor, Descriptor]], point: str) -> list[ComparedPair]:
        if not pairs:
            return []
        scores = compare_rows(
            np.stack([first.vector for first, _ in pairs]), np.stack([second.vector for _, second in pairs])
        )
        return [
            ComparedPair(
                decide(
                    self._calibrator.calibrate(
                        float(score), first.report.template_norm, second.report.template_norm, point
                    )
                ),
                first.report,
                second.report,
            )
            for score, (first, second) in zip(scores, pairs, strict=True)
        ]
