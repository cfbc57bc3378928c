"""Which face of each sample is taken under the policy `consistent`, and what becomes of copies and of faces that do not
agree."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from service.types import (
    ConsistencyPolicy,
    EmbeddedFace,
    EmbeddedSample,
    FacePolicy,
    LeftOutSample,
    RejectionReason,
    SampleOutcome,
)
from service.vision.consistency import ConsistencyLimits, group_faces
from service.vision.near_duplicates import representatives


@dataclass(frozen=True, slots=True)
class SettledSet:
    outcomes: tuple[SampleOutcome, ...]
    groups: tuple[int | None, ...]
    """As in `SetResult`."""


def settle_set(
    outcomes: Sequence[SampleOutcome],
    face_policy: FacePolicy,
    policy: ConsistencyPolicy,
    limits: ConsistencyLimits | None,
) -> SettledSet:
    """`outcomes` in the order of their digests. `limits` None: the pack cannot tell, so no face has a group and nothing
    is left out for its person; who asked for it (`SetPolicies.need_groups`) must not take the set for settled.

    Copies of a picture count once. Under `refuse` every sample of a set with two groups is left out, and under `drop`
    of one without a majority.
    """
    if face_policy is FacePolicy.CONSISTENT and limits is not None:
        outcomes = _with_agreeing_faces(outcomes, limits)
    places = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, EmbeddedSample)]
    if not places:
        return SettledSet(tuple(outcomes), (None,) * len(outcomes))
    embeddings = [_embedded(outcomes[index]).embedding for index in places]
    stands_for = representatives(embeddings)
    distinct = sorted(set(stands_for))
    groups: dict[int, int | None] = dict.fromkeys(distinct)
    rejected: Container[int | None] = ()
    if limits is not None:
        grouped = group_faces([embeddings[face] for face in distinct], limits).groups
        groups = {distinct[face]: number for number, group in enumerate(grouped) for face in group}
        rejected = _rejected_groups([len(group) for group in grouped], policy)
    settled = list(outcomes)
    group_of: list[int | None] = [None] * len(outcomes)
    for face, place in enumerate(places):
        group_of[place] = groups[stands_for[face]]
        if group_of[place] in rejected:
            settled[place] = LeftOutSample(_embedded(outcomes[place]), RejectionReason.INCONSISTENT)
        elif stands_for[face] != face:
            settled[place] = LeftOutSample(_embedded(outcomes[place]), RejectionReason.NEAR_DUPLICATE)
    return SettledSet(tuple(settled), tuple(group_of))


def _rejected_groups(sizes: Sequence[int], policy: ConsistencyPolicy) -> range:
    """`sizes` by falling size."""
    if len(sizes) == 1 or policy is ConsistencyPolicy.WARN:
        return range(0)
    has_majority = sizes[0] > sizes[1]
    return range(int(policy is ConsistencyPolicy.DROP and has_majority), len(sizes))


def _with_agreeing_faces(outcomes: Sequence[SampleOutcome], limits: ConsistencyLimits) -> list[SampleOutcome]:
    """In each sample the face of the person who is in most of them; where that person is in none of its faces, the
    largest one stays."""
    settled = [
        _with_face(outcome, _faces(outcome)[0]) if isinstance(outcome, EmbeddedSample) else outcome
        for outcome in outcomes
    ]
    candidates = [
        (place, face)
        for place, outcome in enumerate(settled)
        if isinstance(outcome, EmbeddedSample)
        for face in _faces(outcome)
    ]
    if not candidates:
        return settled
    places = [place for place, _ in candidates]
    grouped = group_faces([face.embedding for _, face in candidates], limits, places).groups
    sizes = [(len(group), sum(candidates[index][1].detection.area for index in group)) for group in grouped]
    for index in grouped[sizes.index(max(sizes))]:
        place, face = candidates[index]
        settled[place] = _with_face(_embedded(settled[place]), face)
    return settled


def _with_face(sample: EmbeddedSample, chosen: EmbeddedFace) -> EmbeddedSample:
    return replace(sample, face=chosen, others=tuple(face for face in _faces(sample) if face is not chosen))


def _faces(sample: EmbeddedSample) -> list[EmbeddedFace]:
    """The largest first, whichever was taken before."""
    faces = (sample.face, *sample.others)
    return sorted(faces, key=lambda face: (-face.detection.area, -face.detection.score))


def _embedded(outcome: SampleOutcome) -> EmbeddedSample:
    assert isinstance(outcome, EmbeddedSample)  # noqa: S101  (only such have a place among the faces)
    return outcome
