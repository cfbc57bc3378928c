"""A template rebuilt from the answers about it: from exact scores it is, from bands it is not.

The attack is that of Mohanty, Sarkar & Kasturi ("From Scores to Face Templates: A Model-Based Approach", 2007): many
known faces are compared with the unknown template, and the template is the vector that explains the answers. For cosine
scores the model is linear, so least squares over the known vectors does it. Known faces are real ones, through the
shipped pack: the distribution of scores between people is what decides how much a band tells.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.pipeline.verification import StoredSide, VectorSide, Verification
from tests.security.enrolled_people import EnrolledPeople, enrol_people

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reconstruction")]

QUERIES = 200
TARGETS = 20
MOST_RECOVERED = 0.3
LEAST_RECOVERED = 0.95


@pytest.fixture(scope="module")
def people(shared_data: Path) -> EnrolledPeople:
    """Those of the attacker, and the targets: nobody is both."""
    return enrol_people(shared_data / "lfw", QUERIES + TARGETS)


def answers(people: EnrolledPeople, target: int, probes: NDArray[np.float32]) -> list[Verification]:
    """Of one target, compared with every probe."""
    verifier = people.verifier
    reference = StoredSide(people.template_ids[target])

    async def ask() -> list[Verification]:
        sides = [VectorSide(tuple(map(float, probe)), None, people.highest_norm) for probe in probes]
        return [await verifier.verify(reference, side, "fmr_1e-2") for side in sides]

    return asyncio.run(ask())


def rebuilt(probes: NDArray[np.float32], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    vector, *_ = np.linalg.lstsq(probes.astype(np.float64), scores, rcond=1e-3)
    return np.asarray(vector)


def recovered(people: EnrolledPeople, target: int, vector: NDArray[np.float64]) -> float:
    """Cosine between the template and what the attack makes of it; nothing at all is 0."""
    length = np.linalg.norm(vector)
    return float(people.vectors[target] @ vector / length) if length else 0.0


def scores_of_bands(found: list[Verification], people: EnrolledPeople) -> NDArray[np.float64]:
    """What an attacker who knows the calibration takes each band for: the least score that is in it, and for none the
    mean score of strangers."""
    thresholds = people.thresholds
    return np.array([0.0 if (band := each.comparison.calibrated.band) is None else thresholds[band] for each in found])


@pytest.mark.parametrize("method", ["bands", "exact scores"])
def test_two_hundred_answers(people: EnrolledPeople, method: str) -> None:
    probes = people.vectors[TARGETS:]
    cosines = []
    for target in range(TARGETS):
        found = answers(people, target, probes)
        scores = (
            scores_of_bands(found, people)
            if method == "bands"
            else np.array([each.comparison.calibrated.score for each in found])
        )
        cosines.append(recovered(people, target, rebuilt(probes, scores)))
    if method == "bands":
        assert np.mean(cosines) <= MOST_RECOVERED, cosines
    else:
        assert np.min(cosines) >= LEAST_RECOVERED, "the attack itself works"
