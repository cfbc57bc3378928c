from __future__ import annotations

from service.store import keys
from service.types import FacePolicy


def test_every_key_has_the_prefix_and_none_is_another() -> None:
    names = [
        keys.PROBE_KEY,
        keys.template_key("a"),
        keys.set_index_key("a"),
        keys.set_claim_key("a"),
        keys.answer_key("a"),
        keys.embedding_key("f", FacePolicy.LARGEST, "a"),
        keys.embedding_key("f", FacePolicy.ONLY, "a"),
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
