from __future__ import annotations

import numpy as np
import pytest

from service.calibration.quality_scale import QualityScale
from service.pipeline.explanation import contributions
from service.pipeline.template_creation import TemplateCreator
from service.types import SampleMaterial, SetPolicies
from tests.pipeline.fakes import FINGERPRINT, FakeEngine, MemoryStore, embed
from tests.pipeline.test_template_creation import POLICY

CREATOR = TemplateCreator(
    FakeEngine(), MemoryStore(), FINGERPRINT, POLICY, embedding_fingerprint="e" * 32, quality_scale=QualityScale(None)
)


def material(*digests: str) -> SampleMaterial:
    return SampleMaterial(tuple(embed(digest) for digest in digests), (), SetPolicies(), "e" * 32)


async def test_the_sample_that_is_most_alike_carries_the_score() -> None:
    given = material("a", "b", "c")
    found = await contributions(CREATOR, given, given.samples[1].embedding.vector)
    assert found is not None
    assert [entry.digest for entry in found] == ["a", "b", "c"]
    changes = {entry.digest: entry.score_change for entry in found}
    assert max(changes, key=lambda digest: changes[digest]) == "b"
    assert changes["b"] > 0.0


async def test_a_change_is_the_score_minus_the_score_without_the_sample() -> None:
    given = material("a", "b", "c")
    other = embed("other").embedding.vector
    vectors = {sample.digest: sample.embedding.vector.astype(np.float64) for sample in given.samples}

    def score(digests: str) -> float:
        total = np.sum([vectors[digest] for digest in digests], axis=0)
        return float(total @ other / np.linalg.norm(total) / np.linalg.norm(other))

    found = await contributions(CREATOR, given, other)
    assert found is not None
    expected = [score("abc") - score("bc"), score("abc") - score("ac"), score("abc") - score("ab")]
    assert [entry.score_change for entry in found] == pytest.approx(expected, abs=1e-6)


async def test_one_sample_carries_it_all() -> None:
    assert await contributions(CREATOR, material("a"), embed("b").embedding.vector) is None
