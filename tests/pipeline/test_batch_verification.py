"""Each pair is decided as it would be alone; what cannot be compared is an error of its own and never a match."""

from __future__ import annotations

import numpy as np
import pytest

from service.calibration.calibrator import PackCalibrator
from service.calibration.quality_scale import QualityScale
from service.errors import (
    FingerprintMismatchError,
    InvalidSealedTemplateError,
    InvalidVectorError,
    RequestError,
    TemplateNotFoundError,
    UnknownOperatingPointError,
    UnsupportedOperatingPointError,
)
from service.pipeline.batch_verification import BatchVerifier, ComparedPair
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.verification import SampleSide, SealedSide, Side, StoredSide, VectorSide, Verifier
from service.types import SetPolicies, Template
from tests.calibrations import make_calibration
from tests.pipeline.fakes import FINGERPRINT, WIDTH, FakeEngine, MemoryStore, png
from tests.pipeline.test_template_creation import POLICY
from tests.pipeline.test_verification import Sealer, template

UNIT = tuple(float(value) for value in np.eye(WIDTH)[0])


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    rng = np.random.default_rng(0)
    for number in range(6):
        vector = rng.normal(size=WIDTH) + 2.0 * np.eye(WIDTH)[0]
        vector /= np.linalg.norm(vector)
        kept = Template(f"t{number}", FINGERPRINT, vector.astype(np.float32), 8.0 + number % 3, 0.0, 1e12, ())
        store.templates[kept.template_id] = kept
    store.templates["foreign"] = template("foreign", UNIT, "0" * 32)
    return store


@pytest.fixture
def verifier(store: MemoryStore) -> Verifier:
    creator = TemplateCreator(
        FakeEngine(), store, FINGERPRINT, POLICY, embedding_fingerprint="e" * 32, quality_scale=QualityScale(None)
    )
    sealer = Sealer(template("sealed", UNIT))
    return Verifier(creator, store, sealer, fingerprint=FINGERPRINT, width=WIDTH, calibrator=CALIBRATOR)


@pytest.fixture
def batch(verifier: Verifier, store: MemoryStore) -> BatchVerifier:
    return BatchVerifier(verifier, store, CALIBRATOR, fingerprint=FINGERPRINT)


CALIBRATOR = PackCalibrator(make_calibration(FINGERPRINT, edges=(9.0,)))


async def test_every_pair_is_decided_as_alone(batch: BatchVerifier, verifier: Verifier) -> None:
    pairs = [(f"t{first}", f"t{second}") for first in range(6) for second in range(6)]
    answer = await batch.verify_pairs(pairs, "fmr_1e-4")
    assert (answer.operating_point, answer.fmr, answer.fingerprint) == ("fmr_1e-4", 1e-4, FINGERPRINT)
    for (reference, probe), outcome in zip(pairs, answer.outcomes, strict=True):
        alone = await verifier.verify(StoredSide(reference), StoredSide(probe), "fmr_1e-4")
        assert isinstance(outcome, ComparedPair)
        assert outcome.comparison == alone.comparison
    decisions = {outcome.comparison.is_match for outcome in answer.outcomes if isinstance(outcome, ComparedPair)}
    assert decisions == {True, False}


async def test_a_pair_that_cannot_be_compared_fails_alone(batch: BatchVerifier) -> None:
    pairs = [("t0", "t0"), ("nobody", "t0"), ("t0", "nobody"), ("foreign", "foreign"), ("t1", "t1")]
    outcomes = (await batch.verify_pairs(pairs, None)).outcomes
    assert [type(outcome) for outcome in outcomes] == [
        ComparedPair,
        TemplateNotFoundError,
        TemplateNotFoundError,
        FingerprintMismatchError,
        ComparedPair,
    ]
    sides = [outcome.side for outcome in outcomes if isinstance(outcome, RequestError)]
    assert sides == ["reference", "probe", "reference"]


async def test_one_probe_against_references_of_every_stored_kind(batch: BatchVerifier, verifier: Verifier) -> None:
    references: list[Side] = [
        StoredSide("t0"),
        VectorSide(UNIT, FINGERPRINT, 12.0),
        SealedSide(b"sealed"),
        StoredSide("nobody"),
        VectorSide(UNIT, "0" * 32),
        VectorSide(UNIT[1:], None),
        SealedSide(b"tampered"),
        StoredSide("t0"),
    ]
    probe = SampleSide((png(content=b"a"),), SetPolicies())
    outcomes = (await batch.verify_references(references, probe, None)).outcomes
    for side, outcome in zip(references[:3], outcomes[:3], strict=True):
        assert isinstance(outcome, ComparedPair)
        assert outcome.comparison == (await verifier.verify(side, probe, None)).comparison
    assert [type(outcome) for outcome in outcomes[3:7]] == [
        TemplateNotFoundError,
        FingerprintMismatchError,
        InvalidVectorError,
        InvalidSealedTemplateError,
    ]
    assert outcomes[7] == outcomes[0]


async def test_a_probe_at_fault_fails_the_request(batch: BatchVerifier) -> None:
    with pytest.raises(TemplateNotFoundError) as raised:
        await batch.verify_references([StoredSide("t0")], StoredSide("nobody"), None)
    assert raised.value.side == "probe"
    with pytest.raises(ValueError, match="no sample set"):
        await batch.verify_references([SampleSide((b"",), SetPolicies())], StoredSide("t0"), None)


async def test_the_operating_point_is_looked_at_first(batch: BatchVerifier) -> None:
    with pytest.raises(UnknownOperatingPointError):
        await batch.verify_pairs([("nobody", "nobody")], "loose")
    with pytest.raises(UnsupportedOperatingPointError):
        await batch.verify_references([StoredSide("nobody")], StoredSide("nobody"), "fmr_1e-7")
