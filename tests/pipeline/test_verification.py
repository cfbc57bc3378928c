import math

import numpy as np
import pytest

from service.calibration.calibrator import PackCalibrator
from service.calibration.quality_scale import QualityScale
from service.errors import (
    CorefaceError,
    FingerprintMismatchError,
    InvalidSealedTemplateError,
    InvalidVectorError,
    NoUsableSampleError,
    RequestError,
    TemplateNotFoundError,
    UnknownOperatingPointError,
)
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.verification import SampleSide, SealedSide, StoredSide, VectorSide, Verifier
from service.types import SetPolicies, Template
from tests.calibrations import make_calibration
from tests.pipeline.fakes import FINGERPRINT, WIDTH, FakeEngine, MemoryStore, png
from tests.pipeline.test_template_creation import POLICY

UNIT = tuple(float(value) for value in np.eye(WIDTH)[0])


class Sealer:
    """Knows one sealed template."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def seal(self, template: Template) -> bytes:
        raise NotImplementedError

    def unseal(self, sealed: bytes) -> Template:
        if sealed != b"sealed":
            raise InvalidSealedTemplateError("tampered")
        return self._template


def template(template_id: str, vector: tuple[float, ...], fingerprint: str = FINGERPRINT) -> Template:
    return Template(template_id, fingerprint, np.array(vector, np.float32), 10.0, 0.0, 1e12, ())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def verifier(store: MemoryStore) -> Verifier:
    store.templates["kept"] = template("kept", UNIT)
    store.templates["foreign"] = template("foreign", UNIT, "0" * 32)
    creator = TemplateCreator(
        FakeEngine(), store, FINGERPRINT, POLICY, embedding_fingerprint="e" * 32, quality_scale=QualityScale(None)
    )
    return Verifier(
        creator,
        store,
        Sealer(template("sealed", UNIT)),
        fingerprint=FINGERPRINT,
        width=WIDTH,
        calibrator=PackCalibrator(make_calibration(FINGERPRINT, edges=(9.0,))),
    )


SIDES = [StoredSide("kept"), VectorSide(UNIT, None), VectorSide(UNIT, FINGERPRINT), SealedSide(b"sealed")]


@pytest.mark.parametrize("reference", SIDES)
@pytest.mark.parametrize("probe", SIDES)
async def test_any_mix_of_sides_is_compared(verifier: Verifier, reference: StoredSide, probe: StoredSide) -> None:
    verification = await verifier.verify(reference, probe, None)
    assert verification.comparison.is_match
    assert verification.comparison.calibrated.score == pytest.approx(1.0)
    assert verification.fingerprint == FINGERPRINT


async def test_a_sample_set_is_compared_and_reported(verifier: Verifier, store: MemoryStore) -> None:
    side = SampleSide((png(content=b"a"), b"junk"), SetPolicies())
    verification = await verifier.verify(side, side, "fmr_1e-4")
    assert verification.comparison.is_match
    assert verification.reference.samples is not None
    assert [report.status for report in verification.reference.samples] == ["used", "rejected"]
    assert set(store.templates) == {"kept", "foreign"}


async def test_length_is_no_part_of_a_vector(verifier: Verifier) -> None:
    for length in (1e-5, 1e6, 1e308):
        side = VectorSide(tuple(length * value for value in UNIT), None)
        assert (await verifier.verify(side, StoredSide("kept"), None)).comparison.calibrated.score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("side", "error"),
    [
        (StoredSide("nobody"), TemplateNotFoundError),
        (StoredSide("foreign"), FingerprintMismatchError),
        (VectorSide(UNIT, "0" * 32), FingerprintMismatchError),
        (VectorSide(UNIT[1:], None), InvalidVectorError),
        (VectorSide((0.0,) * WIDTH, None), InvalidVectorError),
        (VectorSide((math.nan,) * WIDTH, None), InvalidVectorError),
        (VectorSide((math.inf, *UNIT[1:]), None), InvalidVectorError),
        (VectorSide(UNIT, None, math.nan), InvalidVectorError),
        (VectorSide(UNIT, None, 0.0), InvalidVectorError),
        (VectorSide(UNIT, None, -9.0), InvalidVectorError),
        (VectorSide(UNIT, None, math.inf), InvalidVectorError),
        (VectorSide(UNIT, None, 18.1), InvalidVectorError),
        (SealedSide(b"tampered"), InvalidSealedTemplateError),
    ],
)
async def test_what_cannot_be_compared_is_an_error(
    verifier: Verifier, side: StoredSide, error: type[CorefaceError]
) -> None:
    with pytest.raises(error) as reference_at_fault:
        await verifier.verify(side, StoredSide("kept"), None)
    with pytest.raises(error) as probe_at_fault:
        await verifier.verify(StoredSide("kept"), side, None)
    with pytest.raises(error):
        await verifier.verify(side, side, None)
    for raised, name in ((reference_at_fault, "reference"), (probe_at_fault, "probe")):
        assert isinstance(raised.value, RequestError)
        assert raised.value.side == name
        assert raised.value.detail == str(raised.value)


async def test_of_two_stored_sides_the_reference_is_named_first(verifier: Verifier) -> None:
    with pytest.raises(FingerprintMismatchError) as raised:
        await verifier.verify(StoredSide("foreign"), StoredSide("nobody"), None)
    assert raised.value.side == "reference"


async def test_the_samples_at_fault_are_reported_with_their_side(verifier: Verifier) -> None:
    with pytest.raises(NoUsableSampleError) as raised:
        await verifier.verify(StoredSide("kept"), SampleSide((b"junk",), SetPolicies()), None)
    assert raised.value.side == "probe"
    assert [report.status for report in raised.value.reports] == ["rejected"]


async def test_an_unknown_operating_point_is_refused_before_any_work(verifier: Verifier) -> None:
    with pytest.raises(UnknownOperatingPointError):
        await verifier.verify(StoredSide("nobody"), StoredSide("nobody"), "fmr")


async def test_quality_decides_the_threshold(verifier: Verifier, store: MemoryStore) -> None:
    """Templates in the store have norm 10, above the edge of 9."""
    levels = {}
    for norm in (None, 8.0, 12.0):
        verification = await verifier.verify(StoredSide("kept"), VectorSide(UNIT, None, norm), "fmr_1e-4")
        calibrated = verification.comparison.calibrated
        levels[calibrated.probe_level] = calibrated.operating_point.threshold
        assert calibrated.reference_level == "high"
    assert levels == pytest.approx({"unknown": 0.3, "low": 0.3, "high": 0.2})
