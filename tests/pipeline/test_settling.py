from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from service.pipeline.settling import SettledSet, settle_set
from service.types import (
    ConsistencyPolicy,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    HeadPose,
    LeftOutSample,
    RejectedSample,
    RejectionReason,
    SampleOutcome,
)
from service.vision.consistency import ConsistencyLimits

LIMITS = ConsistencyLimits((1.0,), (0.3,))
FACELESS = RejectedSample("z", RejectionReason.NO_FACE)


_shots = itertools.count(8)


def face(person: int, side: float = 50.0, shot: int | None = None) -> EmbeddedFace:
    """Of another shot each time: alike within a person, and no copy."""
    vector = np.zeros(200, np.float32)
    vector[person], vector[next(_shots) % 192 + 8 if shot is None else shot] = 0.8, 0.6
    return EmbeddedFace(
        Detection((0.0, 0.0, side, side), 0.9, np.zeros((5, 2), np.float32)),
        FaceQuality(10.0, 0.5, HeadPose(0.0, 0.0)),
        Embedding(vector, 10.0),
    )


def sample(digest: str, *people: int) -> EmbeddedSample:
    """With a face of each of these, the first one the largest."""
    faces = [face(person, 50.0 - place) for place, person in enumerate(people)]
    return EmbeddedSample(digest, faces[0], tuple(faces[1:]))


def settle(
    outcomes: Sequence[SampleOutcome],
    policy: ConsistencyPolicy = ConsistencyPolicy.WARN,
    *,
    faces: FacePolicy = FacePolicy.LARGEST,
    limits: ConsistencyLimits | None = LIMITS,
) -> SettledSet:
    return settle_set(outcomes, faces, policy, limits)


def people_of(settled: SettledSet) -> list[int]:
    return [
        int(outcome.embedding.vector[:8].argmax())
        for outcome in settled.outcomes
        if isinstance(outcome, EmbeddedSample)
    ]


def rejected(settled: SettledSet) -> list[str]:
    return [
        outcome.digest
        for outcome in settled.outcomes
        if isinstance(outcome, LeftOutSample) and outcome.reason is RejectionReason.INCONSISTENT
    ]


@pytest.mark.parametrize("policy", ConsistencyPolicy)
def test_a_set_of_one_person_passes_under_every_policy(policy: ConsistencyPolicy) -> None:
    outcomes = (sample("a", 0), sample("b", 0), FACELESS)
    assert settle(outcomes, policy) == SettledSet(outcomes, (0, 0, None))


def test_warn_says_so_and_keeps_all() -> None:
    settled = settle([sample("a", 0), sample("b", 1), FACELESS, sample("c", 0)])
    assert settled.groups == (0, 1, None, 0)
    assert rejected(settled) == []


def test_drop_rejects_all_but_the_largest_group() -> None:
    given = [sample("a", 0), sample("b", 1), sample("c", 2), sample("d", 0)]
    settled = settle(given, ConsistencyPolicy.DROP)
    assert rejected(settled) == ["b", "c"]
    assert settled.groups == (0, 1, 2, 0)
    dropped = settled.outcomes[1]
    assert isinstance(dropped, LeftOutSample)
    assert dropped.sample is given[1]


def test_drop_without_a_majority_rejects_the_whole_set() -> None:
    assert rejected(settle([sample("a", 0), sample("b", 1)], ConsistencyPolicy.DROP)) == ["a", "b"]


def test_refuse_rejects_the_whole_set() -> None:
    settled = settle([sample("a", 0), sample("b", 1), sample("c", 0), FACELESS], ConsistencyPolicy.REFUSE)
    assert rejected(settled) == ["a", "b", "c"]
    assert settled.outcomes[3] is FACELESS


@pytest.mark.parametrize("policy", ConsistencyPolicy)
def test_a_pack_that_cannot_tell_puts_no_face_into_a_group(policy: ConsistencyPolicy) -> None:
    settled = settle([sample("a", 0), sample("b", 1)], policy, limits=None)
    assert settled.groups == (None, None)
    assert rejected(settled) == []


def test_a_pack_that_cannot_tell_chooses_no_face() -> None:
    given = (sample("a", 3, 0), sample("b", 5, 0))
    assert settle(given, faces=FacePolicy.CONSISTENT, limits=None) == SettledSet(given, (None, None))


def test_the_face_that_agrees_with_the_rest_is_taken() -> None:
    group_picture, other = sample("a", 3, 0, 4), sample("b", 5, 0)
    settled = settle([group_picture, other, sample("c", 0)], faces=FacePolicy.CONSISTENT)
    assert people_of(settled) == [0, 0, 0]
    first = settled.outcomes[0]
    assert isinstance(first, EmbeddedSample)
    assert {id(each) for each in first.others} == {id(group_picture.face), id(group_picture.others[1])}
    again = settle(settled.outcomes[:1], faces=FacePolicy.CONSISTENT)
    assert people_of(again) == [3], "in a set of its own the largest face is taken, whatever was taken before"


def test_of_two_who_are_always_there_the_larger_faces_are_taken() -> None:
    settled = settle([sample("a", 1, 0), sample("b", 1, 0)], faces=FacePolicy.CONSISTENT)
    assert people_of(settled) == [1, 1]


def test_a_picture_without_the_subject_keeps_its_largest_face_and_is_told() -> None:
    given = [sample("a", 0), sample("b", 3, 4), sample("c", 2, 0)]
    settled = settle(given, ConsistencyPolicy.DROP, faces=FacePolicy.CONSISTENT)
    assert people_of(settled) == [0, 0]
    assert rejected(settled) == ["b"]


def test_other_face_policies_take_no_other_face() -> None:
    assert people_of(settle([sample("a", 3, 0), sample("c", 0)])) == [3, 0]


def test_nothing_embedded_is_nothing_grouped() -> None:
    assert settle([FACELESS], faces=FacePolicy.CONSISTENT) == SettledSet((FACELESS,), (None,))


def copy_of(digest: str, original: EmbeddedSample, norm: float) -> EmbeddedSample:
    return replace(
        original, digest=digest, face=replace(original.face, embedding=Embedding(original.embedding.vector, norm))
    )


@pytest.mark.parametrize("limits", [LIMITS, None])
def test_copies_of_a_picture_count_once_and_the_best_stands_for_them(limits: ConsistencyLimits | None) -> None:
    original = sample("b", 0)
    given = [copy_of("a", original, 9.0), original, copy_of("c", original, 11.0), sample("d", 0)]
    settled = settle(given, limits=limits)
    reasons = [getattr(outcome, "reason", None) for outcome in settled.outcomes]
    assert reasons == [RejectionReason.NEAR_DUPLICATE] * 2 + [None, None]
    assert settled.groups == ((0, 0, 0, 0) if limits else (None,) * 4)


def test_copies_make_no_majority() -> None:
    original = sample("a", 0)
    given = [original, copy_of("b", original, 9.0), copy_of("c", original, 8.0), sample("d", 1), sample("e", 1)]
    settled = settle(given, ConsistencyPolicy.DROP)
    assert rejected(settled) == ["a", "b", "c"]
    assert settled.groups == (1, 1, 1, 0, 0)
