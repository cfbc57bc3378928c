"""Ten thousand vectors go through the API; none of them is in the store, its files or anything that was logged."""

from __future__ import annotations

import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.pipeline.set_keys import digest_sample
from tests.cluster.canary_search import CanarySearch
from tests.cluster.cluster import Cluster
from tests.cluster.stub_worker import mean_of
from tests.pipeline.fakes import embed, png

pytestmark = pytest.mark.slow

SETS = 330
SAMPLES = 30
"""Of each set: with its template, 31 vectors. 330 sets come to 10,230."""
WIDTH = 128
MARK = secrets.token_hex(16).encode()
"""In every image."""
KEY = secrets.token_bytes(32)
SUBJECT = f"canary-{secrets.token_hex(12)}"
"""How every subject begins."""
IN_MEMORY = {"users.acl"}
"""The store's own rules, which the test wrote."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A set, what it must come to, and what the service said of it."""

    samples: tuple[bytes, ...]
    vectors: NDArray[np.float32]  # (SAMPLES + 1, WIDTH), the template last
    subject: str
    answer: dict[str, Any]

    @property
    def body(self) -> list[str]:
        return [base64.b64encode(sample).decode() for sample in self.samples]


@dataclass(frozen=True, slots=True)
class Traces:
    """What was left behind."""

    enrolled: list[Enrolled]
    answers: bytes
    """A few, as they came: what must be found."""
    requests: int
    files: dict[str, bytes]


PLANTED = np.random.default_rng(5).standard_normal((1, WIDTH)).astype(np.float32)
"""Put into the store by the test itself: what must be found there."""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Traces:
    directory = tmp_path_factory.mktemp("canaries")
    settings = {"COREFACE_LOG_LEVEL": "debug", "COREFACE_SEALING_KEY": base64.b64encode(KEY).decode()}
    with Cluster(directory, apis=2, workers=2, service_s=0.0, settings=settings) as cluster:
        with ThreadPoolExecutor(4) as threads, cluster.client() as client:
            enrolled = list(threads.map(lambda number: enrol(client, number), range(SETS)))
            sent = SETS + sum(threads.map(lambda entry: compare(client, entry), enrolled))
            answers = b"".join(
                client.get(f"/v1/templates/{entry.answer['template_id']}").content for entry in enrolled[:3]
            )
            sent += 3 + sum(threads.map(lambda entry: erase(client, entry), enrolled[: SETS // 2]))
        with cluster.store_admin() as admin:
            admin.set("planted", PLANTED.tobytes())
            admin.config_set("rdbcompression", "no")
            admin.save()
        with cluster.store_admin() as admin:
            assert admin.info("persistence")["aof_last_write_status"] == "ok"
        for api in cluster.apis:
            api.terminate()
            api.wait()
    answers += "".join(str(entry.answer["vector"]) for entry in enrolled[:3]).encode()
    files = {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in IN_MEMORY
    }
    return Traces(enrolled, answers, sent, files)


@pytest.fixture(scope="module")
def search(traces: Traces) -> CanarySearch:
    vectors = np.concatenate([entry.vectors for entry in traces.enrolled])
    assert len(vectors) >= 10_000
    digests = [digest_sample(sample) for entry in traces.enrolled for sample in entry.samples]
    return CanarySearch(vectors, digests, {"image": MARK, "sealing key": KEY, "subject": SUBJECT.encode()})


def enrol(client: httpx.Client, number: int) -> Enrolled:
    samples = tuple(png(content=b"%d %d %s" % (number, index, MARK)) for index in range(SAMPLES))
    embedded = [embed(digest_sample(sample), width=WIDTH) for sample in samples]
    template = mean_of(sorted(embedded, key=lambda sample: sample.digest)).vector
    vectors = np.stack([*(sample.embedding.vector for sample in embedded), template])
    entry = Enrolled(samples, vectors, f"{SUBJECT}-{number}", {})
    body = {"samples": entry.body, "subject": entry.subject, "include": ["vector", "sealed_template"]}
    # Kept answers hold a vector too.
    answered = client.post("/v1/templates", json=body, headers={"Idempotency-Key": secrets.token_hex(16)})
    assert answered.status_code == 201, answered.text
    np.testing.assert_allclose(answered.json()["vector"], template, atol=1e-6)
    return Enrolled(samples, vectors, entry.subject, answered.json())


def compare(client: httpx.Client, entry: Enrolled) -> int:
    """In every way there is, wrong ones among them; how many requests that was."""
    by_id = {"template_id": entry.answer["template_id"]}
    by_vector = {"vector": entry.answer["vector"], "template_norm": entry.answer["template_norm"]}
    sealed = {"sealed_template": entry.answer["sealed_template"]}
    for probe in (by_vector, sealed, {"samples": entry.body[:2]}):
        answered = client.post("/v1/verify", json={"reference": by_id, "probe": probe})
        assert answered.status_code == 200, answered.text
    many = client.post("/v1/verify/references", json={"references": [by_vector, sealed], "probe": by_id})
    assert many.status_code == 200, many.text
    vector = entry.answer["vector"]
    for wrong in (
        {"vector": vector[:-1]},
        {"vector": [*vector[:-1], "x"]},
        {"vector": vector, "samples": entry.body[:1]},
    ):
        refused = client.post("/v1/verify", json={"reference": by_id, "probe": wrong})
        assert refused.status_code in (400, 422), refused.text
    cut_off = client.post("/v1/verify", content=str({"vector": vector}), headers={"Content-Type": "application/json"})
    assert cut_off.status_code in (400, 422), cut_off.text
    return 8


def erase(client: httpx.Client, entry: Enrolled) -> int:
    assert client.delete(f"/v1/templates/{entry.answer['template_id']}").status_code == 204
    assert client.delete(f"/v1/subjects/{entry.subject}").status_code == 200
    gone = client.post(
        "/v1/verify",
        json={"reference": {"template_id": entry.answer["template_id"]}, "probe": {"vector": entry.answer["vector"]}},
    )
    assert gone.status_code == 410, gone.text
    return 3


def test_the_search_sees_what_the_service_answers(traces: Traces, search: CanarySearch) -> None:
    assert {"decimal text", "digest, hexadecimal", "subject"} <= search(traces.answers)


def test_the_search_reads_dump_and_append_only_file(traces: Traces) -> None:
    planted = CanarySearch(PLANTED)
    with_planted = {name for name, content in traces.files.items() if planted(content)}
    assert {Path(name).suffix for name in with_planted} == {".rdb", ".aof"}
    kept = traces.enrolled[-1].answer["template_id"].encode()
    assert all(kept in traces.files[name] for name in with_planted)


def test_no_vector_image_key_or_subject_is_in_store_or_logs(traces: Traces, search: CanarySearch) -> None:
    found = {name: forms for name, content in traces.files.items() if (forms := search(content))}
    assert found == {}


def test_logs_tell_of_every_request_and_of_no_template(traces: Traces) -> None:
    logs = {name: content for name, content in traces.files.items() if name.endswith("log")}
    assert {"api 1.log", "api 2.log", "worker 1.log", "worker 2.log", "balancer.log", "store/log"} <= set(logs)
    everything = b"".join(logs.values())
    requests = sum(logs[name].count(b'"event":"request"') for name in ("api 1.log", "api 2.log"))
    assert requests >= traces.requests
    assert not any(entry.answer["template_id"].encode() in everything for entry in traces.enrolled)
