from __future__ import annotations

from service.store import keys
from service.types import DEFAULT_TENANT, FacePolicy


def test_every_key_has_the_prefix_and_none_is_another() -> None:
    names = [
        keys.PROBE_KEY,
        keys.template_key(DEFAULT_TENANT, "a"),
        keys.set_index_key(DEFAULT_TENANT, "a"),
        keys.set_claim_key(DEFAULT_TENANT, "a"),
        keys.answer_key(DEFAULT_TENANT, "a"),
        keys.embedding_key(DEFAULT_TENANT, "f", FacePolicy.LARGEST, "a"),
        keys.embedding_key(DEFAULT_TENANT, "f", FacePolicy.ONLY, "a"),
        keys.subject_index_key(DEFAULT_TENANT, "a"),
        keys.failures_key(DEFAULT_TENANT, "a"),
        keys.budget_key(DEFAULT_TENANT, "images", "a", ""),
        keys.api_key_key("a"),
        keys.job_stream_key("f"),
        keys.reply_stream_key("f", "a"),
        keys.worker_set_key("f"),
        keys.worker_key("f", "a"),
        keys.quarantine_key("f", "a"),
    ]
    assert len(set(names)) == len(names)
    assert all(name.startswith("coreface:") for name in names)


def test_the_keys_of_one_engine_share_a_slot() -> None:
    names = [
        keys.job_stream_key("f"),
        keys.reply_stream_key("f", "a"),
        keys.worker_set_key("f"),
        keys.worker_key("f", "a"),
        keys.quarantine_key("f", "a"),
    ]
    assert {name[name.index("{") : name.index("}") + 1] for name in names} == {"{f}"}


def test_what_is_one_tenants_shares_a_slot_and_is_no_other_tenants() -> None:
    def names(tenant: str) -> set[str]:
        return {
            keys.template_key(tenant, "a"),
            keys.set_index_key(tenant, "a"),
            keys.set_claim_key(tenant, "a"),
            keys.answer_key(tenant, "a"),
            keys.subject_index_key(tenant, "a"),
            keys.embedding_key(tenant, "f", FacePolicy.LARGEST, "a"),
            keys.failures_key(tenant, "a"),
            keys.budget_key(tenant, "images", "a", ""),
        }

    assert {name[name.index("{") : name.index("}") + 1] for name in names("a")} == {"{tenant:a}"}
    assert not names("a") & names("b")
