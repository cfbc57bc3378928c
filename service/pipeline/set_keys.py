"""Content-addressed names of samples and sample sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple

from service.types import ConsistencyPolicy, FacePolicy, QualityLimits


def digest_sample(data: bytes) -> str:
    """SHA-256 of the submitted bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def set_key(
    digests: Iterable[str],
    fingerprint: str,
    face_policy: FacePolicy,
    consistency_policy: ConsistencyPolicy,
    *,
    subject: str | None,
    min_eye_distance_pixels: float,
    quality_limits: QualityLimits,
) -> str:
    """Name of a sample set under one pack, for one subject and one policy: SHA-256 hex.

    Neither the order of the samples nor repeated bytes change it.
    """
    state = hashlib.sha256()
    limits = (float(min_eye_distance_pixels), *map(float, astuple(quality_limits)))
    policies = (face_policy.value, consistency_policy.value, repr(subject))
    for part in (fingerprint, *policies, repr(limits), *sorted(set(digests))):
        state.update(part.encode())
        state.update(b"\n")
    return state.hexdigest()
