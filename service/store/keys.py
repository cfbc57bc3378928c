"""Every name that the service uses in Redis.

Names hold no digest of an image: digests are blinded first (`PayloadSealer.blind`), so that the key space does not
tell whether a known picture was enrolled. What is a tenant's begins with the tenant, so that no id of one leads to
what is another's. What one script touches together shares a hash tag, so that it may live on one slot of a cluster.
"""

from __future__ import annotations

from service.types import FacePolicy

PREFIX = "coreface:"

WORKER_GROUP = "workers"
"""The consumer group of every job stream."""

PROBE_KEY = f"{PREFIX}probe"
"""Written by the readiness check."""


def template_key(tenant: str, template_id: str) -> str:
    """Hash: the sealed template, or the tombstone of an erased one."""
    return f"{_of(tenant)}template:{template_id}"


def set_index_key(tenant: str, blinded_set_key: str) -> str:
    """String: id of the template made from this very set."""
    return f"{_of(tenant)}set:{blinded_set_key}"


def set_claim_key(tenant: str, blinded_set_key: str) -> str:
    """String with a short life: somebody makes the template of this very set."""
    return f"{_of(tenant)}claim:{blinded_set_key}"


def answer_key(tenant: str, blinded_idempotency_key: str) -> str:
    """String: who works on the answer, with a short life; then the answer, sealed."""
    return f"{_of(tenant)}answer:{blinded_idempotency_key}"


def subject_index_key(tenant: str, blinded_subject: str) -> str:
    """Sorted set: ids of the templates of a subject, by the server time at which they expire."""
    return f"{_of(tenant)}subject:{blinded_subject}"


def embedding_key(tenant: str, fingerprint: str, face_policy: FacePolicy, blinded_digest: str) -> str:
    """String: one sealed embedding."""
    return f"{_of(tenant)}embedding:{fingerprint}:{face_policy.value}:{blinded_digest}"


def failures_key(tenant: str, template_id: str) -> str:
    """Hash: failed verifications against a template, in a row, and when the last one was."""
    return f"{_of(tenant)}failures:{template_id}"


def budget_key(tenant: str, budget: str, key_id: str, subject: str) -> str:
    """String with a life: what an API key has used of one of its budgets."""
    return f"{_of(tenant)}budget:{budget}:{key_id}:{subject}"


def api_key_key(key_id: str) -> str:
    """String: an API key's record, sealed."""
    return f"{PREFIX}api-key:{key_id}"


def job_stream_key(fingerprint: str) -> str:
    """Stream: sample sets that wait for, or are with, a worker of this pack."""
    return f"{PREFIX}{{{fingerprint}}}:jobs"


def reply_stream_key(fingerprint: str, replica_id: str) -> str:
    """Stream: answers for one API process."""
    return f"{PREFIX}{{{fingerprint}}}:replies:{replica_id}"


def worker_set_key(fingerprint: str) -> str:
    """Set: ids of the workers of this pack, some of which may be dead."""
    return f"{PREFIX}{{{fingerprint}}}:workers"


def worker_key(fingerprint: str, worker_id: str) -> str:
    """String with a short life: the heartbeat of one worker."""
    return f"{PREFIX}{{{fingerprint}}}:worker:{worker_id}"


def quarantine_key(fingerprint: str, blinded_samples: str) -> str:
    """String with a short life: these samples ended the workers that tried them."""
    return f"{PREFIX}{{{fingerprint}}}:quarantine:{blinded_samples}"


def _of(tenant: str) -> str:
    return f"{PREFIX}{{tenant:{tenant}}}:"
