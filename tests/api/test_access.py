"""Who may do what: every route, with no key, a wrong key, a key of too little scope and a key of another tenant."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from service.access.callers import Scope
from service.api.application import describe_api
from tests.api.conftest import LIMITS
from tests.api.running_api import RAW_SCORES_PER_DAY, RunningApi
from tests.servers import RunningServer, ServerKind

FreshPng = Callable[[], bytes]
OPEN = {"/health/live", "/health/ready", "/metrics"}
WRITE, EXPORT, VERIFY = Scope.TEMPLATES_WRITE, Scope.TEMPLATES_EXPORT, Scope.VERIFY
NOWHERE = "A" * 22
SIDE = {"template_id": NOWHERE}
BODIES: dict[str, Any] = {
    "/v1/templates": {"samples": []},
    "/v1/templates/{template_id}/samples": {"samples": []},
    "/v1/templates/{template_id}/report": {"samples": []},
    "/v1/verify": {"reference": SIDE, "probe": SIDE},
    "/v1/verify/batch": {"pairs": [{"reference": NOWHERE, "probe": NOWHERE}]},
    "/v1/verify/references": {"references": [SIDE], "probe": SIDE},
}
NEEDED = {
    "/v1/templates": WRITE,
    "/v1/templates/{template_id}": WRITE,
    "/v1/templates/{template_id}/samples": WRITE,
    "/v1/templates/{template_id}/report": WRITE,
    "/v1/templates/{template_id}/lock": Scope.ADMIN,
    "/v1/subjects/{subject}": WRITE,
    "/v1/verify": VERIFY,
    "/v1/templates/{template_id}/expiry": Scope.TEMPLATES_WRITE,
    "/v1/verify/batch": Scope.VERIFY_MANY,
    "/v1/verify/references": Scope.VERIFY_MANY,
    "/health": Scope.ADMIN,
    "/v1/packs": None,
    "/v1/packs/current": None,
}
"""Any key will do where it is None."""
ROUTES = [
    (method.upper(), path)
    for path, methods in describe_api()["paths"].items()
    for method in methods
    if path not in OPEN
]


@pytest.fixture(scope="module")
def guarded(_shared_servers: Callable[[ServerKind], RunningServer]) -> Iterator[RunningApi]:
    with RunningApi(_shared_servers(ServerKind.VALKEY).url, LIMITS, with_keys=True) as api:
        yield api


def ask(api: RunningApi, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    url = path.format(template_id=NOWHERE, subject="nobody")
    body = {"json": BODIES[path]} if method == "POST" else {}
    return api.client.request(method, url, headers=headers, **body)


def enrol(api: RunningApi, headers: dict[str, str], *samples: bytes, **members: object) -> httpx.Response:
    encoded = [base64.b64encode(sample).decode() for sample in samples]
    return api.client.post("/v1/templates", json={"samples": encoded, **members}, headers=headers)


def test_every_route_but_probes_and_metrics_is_listed_here() -> None:
    assert {path for _, path in ROUTES} == set(NEEDED)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_a_valid_key(guarded: RunningApi, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer cf_" + "0" * 10 + "_" + "A" * 43}, {"Authorization": "Basic eDp5"}):
        refused = ask(guarded, method, path, headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_key_opens_what_its_scope_says_and_nothing_else(guarded: RunningApi, method: str, path: str) -> None:
    needed = NEEDED[path]
    others = [scope for scope in Scope if scope is not needed]
    if needed is not None:
        refused = ask(guarded, method, path, guarded.new_key(*others))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert needed.value in refused.json()["detail"]
    answered = ask(guarded, method, path, guarded.new_key(*([] if needed is None else [needed])))
    assert answered.status_code not in (401, 403)


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_and_metrics_ask_for_no_key(guarded: RunningApi, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


def test_a_key_is_asked_for_before_the_body_is_read(guarded: RunningApi) -> None:
    connection = HTTPConnection("127.0.0.1", guarded.port, timeout=10)
    connection.putrequest("POST", "/v1/verify")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_no_tenant_reaches_what_is_anothers(guarded: RunningApi, fresh_png: FreshPng) -> None:
    sample, subject = fresh_png(), "Anna"
    ours, theirs = (guarded.new_key(*Scope, tenant=tenant) for tenant in ("ours", "theirs"))
    made = enrol(guarded, ours, sample, subject=subject, include=["sealed_template", "vector"]).json()
    template_id = made["template_id"]
    side, sealed = {"template_id": template_id}, {"sealed_template": made["sealed_template"]}

    def answers(headers: dict[str, str], template_id: str) -> list[tuple[int, dict[str, Any]]]:
        url, side = f"/v1/templates/{template_id}", {"template_id": template_id}
        samples = {"samples": [base64.b64encode(sample).decode()]}
        pairs = {"pairs": [{"reference": template_id, "probe": template_id}]}
        send = guarded.client.request
        found = [
            send("GET", url, headers=headers),
            send("POST", f"{url}/samples", json=samples, headers=headers),
            send("POST", f"{url}/report", json=samples, headers=headers),
            send("DELETE", f"{url}/lock", headers=headers),
            send("PUT", f"{url}/expiry", params={"seconds": 60}, headers=headers),
            send("POST", "/v1/verify", json={"reference": side, "probe": side}, headers=headers),
            send("POST", "/v1/verify/batch", json=pairs, headers=headers),
            send("POST", "/v1/verify/references", json={"references": [side], "probe": side}, headers=headers),
            send("DELETE", url, headers=headers),
        ]
        bodies: list[tuple[int, dict[str, Any]]] = []
        for response in found:
            body = response.json()
            body.pop("request_id", None)
            body.pop("side", None)  # whichever of the two was looked up first
            bodies.append((response.status_code, body))
        return bodies

    assert answers(theirs, template_id) == answers(theirs, NOWHERE), "as if it had never been"
    for one, other in ((sealed, sealed), (sealed, {"vector": made["vector"]})):
        refused = guarded.client.post("/v1/verify", json={"reference": one, "probe": other}, headers=theirs)
        assert refused.json()["code"] == "invalid_sealed_template"
    assert guarded.client.get(f"/v1/subjects/{subject}", headers=theirs).json()["count"] == 0
    assert guarded.client.delete(f"/v1/subjects/{subject}", headers=theirs).json()["erased"] == 0
    assert guarded.client.get(f"/v1/templates/{template_id}", headers=ours).status_code == 200
    both = {"reference": side, "probe": sealed}
    assert guarded.client.post("/v1/verify", json=both, headers=ours).json()["decision"] == "match"


def test_a_tenant_lists_its_own_templates_alone(guarded: RunningApi, fresh_png: FreshPng) -> None:
    listing, apart = (guarded.new_key(*Scope, tenant=tenant) for tenant in ("listing", "apart"))
    made = enrol(guarded, listing, fresh_png()).json()["template_id"]

    def listed(headers: dict[str, str]) -> list[str]:
        page = guarded.client.get("/v1/templates", params={"limit": 200}, headers=headers).json()
        found = [entry["template_id"] for entry in page["templates"]]
        while (cursor := page["next_cursor"]) is not None:
            page = guarded.client.get("/v1/templates", params={"limit": 200, "cursor": cursor}, headers=headers).json()
            found += [entry["template_id"] for entry in page["templates"]]
        return found

    assert listed(listing) == [made]
    assert listed(apart) == []


def test_tenants_share_no_cache_and_no_idempotency_key(guarded: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    ours, theirs = (guarded.new_key(*Scope, tenant=tenant) for tenant in ("ours", "theirs"))
    key = {"Idempotency-Key": "the very same"}
    first = enrol(guarded, {**ours, **key}, sample)
    guarded.engine.requests.clear()
    second = enrol(guarded, {**theirs, **key}, sample)
    assert second.status_code == 201 and "idempotent-replayed" not in second.headers
    assert first.json()["template_id"] != second.json()["template_id"]
    [request] = guarded.engine.requests
    assert len(request.samples) == 1, "embedded again: a picture tells nobody that another tenant has it"
    assert request.tenant == "theirs"


def test_vectors_are_answered_to_those_who_may_export(guarded: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    refused = enrol(guarded, guarded.new_key(WRITE), sample, include=["vector"])
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert "vector" in enrol(guarded, guarded.new_key(WRITE, EXPORT), sample, include=["vector"]).json()
    assert "sealed_template" in enrol(guarded, guarded.new_key(WRITE), sample, include=["sealed_template"]).json()


def test_a_quota_counts_images_of_templates_and_of_sides(guarded: RunningApi, fresh_png: FreshPng) -> None:
    headers = guarded.new_key(*Scope, images_per_day=4)
    made = enrol(guarded, headers, fresh_png(), fresh_png()).json()
    side = {"samples": [base64.b64encode(fresh_png()).decode()]}
    body = {"reference": {"template_id": made["template_id"]}, "probe": side}
    assert guarded.client.post("/v1/verify", json=body, headers=headers).status_code == 200
    refused = enrol(guarded, headers, fresh_png(), fresh_png())
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    assert enrol(guarded, headers, fresh_png()).status_code == 201, "what was refused took nothing"
    assert enrol(guarded, headers, fresh_png()).status_code == 429
    assert enrol(guarded, guarded.new_key(WRITE), *(fresh_png() for _ in range(4))).status_code == 201


class TestScores:
    @pytest.fixture
    def template(self, guarded: RunningApi, fresh_png: FreshPng) -> dict[str, Any]:
        headers = guarded.new_key(*Scope)
        made: dict[str, Any] = enrol(
            guarded, headers, fresh_png(), fresh_png(), include=["vector", "sealed_template"]
        ).json()
        return made

    def verify(
        self, api: RunningApi, headers: dict[str, str], reference: dict[str, Any], probe: dict[str, Any], **members: Any
    ) -> httpx.Response:
        return api.client.post("/v1/verify", json={"reference": reference, "probe": probe, **members}, headers=headers)

    def test_they_are_banded_unless_asked_for(self, guarded: RunningApi, template: dict[str, Any]) -> None:
        side = {"template_id": template["template_id"]}
        answer = self.verify(guarded, guarded.new_key(VERIFY), side, side).json()
        assert (answer["decision"], answer["band"], answer["score"], answer["llr"]) == ("match", "fmr_1e-4", None, None)
        opposite = {"vector": [-value for value in template["vector"]]}
        answer = self.verify(guarded, guarded.new_key(VERIFY), side, opposite).json()
        assert (answer["decision"], answer["band"], answer["score"], answer["llr"]) == ("non_match", None, None, None)

    @pytest.mark.parametrize("members", [{"scores": "raw"}, {"explain": True}])
    def test_exact_ones_need_a_scope(
        self, guarded: RunningApi, template: dict[str, Any], members: dict[str, Any]
    ) -> None:
        side = {"template_id": template["template_id"]}
        refused = self.verify(guarded, guarded.new_key(VERIFY), side, side, **members)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        answer = self.verify(guarded, guarded.new_key(VERIFY, Scope.SCORES_RAW), side, side, **members).json()
        assert answer["score"] == pytest.approx(1.0)

    @pytest.mark.parametrize("kind", ["template_id", "sealed_template"])
    def test_exact_ones_of_one_template_are_counted(
        self, guarded: RunningApi, template: dict[str, Any], kind: str
    ) -> None:
        headers = guarded.new_key(*Scope)
        side, other = {kind: template[kind]}, {"vector": template["vector"]}
        for turn in range(RAW_SCORES_PER_DAY):
            pair = (side, other) if turn % 2 else (other, side)
            assert self.verify(guarded, headers, *pair, scores="raw").status_code == 200
        refused = self.verify(guarded, headers, {"template_id": template["template_id"]}, other, scores="raw")
        assert (refused.status_code, refused.json()["code"]) == (429, "score_budget_spent")
        assert self.verify(guarded, headers, side, other).json()["decision"] == "match", "banded ones go on"
        pairs = {"pairs": [{"reference": template["template_id"], "probe": template["template_id"]}], "scores": "raw"}
        batch = guarded.client.post("/v1/verify/batch", json=pairs, headers=headers)
        assert batch.json()["code"] == "score_budget_spent"
        references = {"references": [side], "probe": other, "scores": "raw"}
        several = guarded.client.post("/v1/verify/references", json=references, headers=headers)
        assert several.json()["code"] == "score_budget_spent"

    def test_many_are_banded_too(self, guarded: RunningApi, template: dict[str, Any]) -> None:
        headers = guarded.new_key(Scope.VERIFY_MANY)
        pairs = {"pairs": [{"reference": template["template_id"], "probe": template["template_id"]}]}
        [result] = guarded.client.post("/v1/verify/batch", json=pairs, headers=headers).json()["results"]
        assert (result["band"], result["score"], result["llr"]) == ("fmr_1e-4", None, None)
        refused = guarded.client.post("/v1/verify/batch", json={**pairs, "scores": "raw"}, headers=headers)
        assert refused.json()["code"] == "insufficient_scope"


def test_guessing_is_slowed_down_and_a_template_can_be_unlocked(guarded: RunningApi, fresh_png: FreshPng) -> None:
    headers = guarded.new_key(*Scope)
    made = enrol(guarded, headers, fresh_png(), include=["vector"]).json()
    side, guess = {"template_id": made["template_id"]}, {"vector": [-value for value in made["vector"]]}

    def send(reference: dict[str, Any], probe: dict[str, Any]) -> httpx.Response:
        return guarded.client.post("/v1/verify", json={"reference": reference, "probe": probe}, headers=headers)

    for turn in range(5):
        pair = (side, guess) if turn % 2 else (guess, side)
        assert send(*pair).json()["decision"] == "non_match"
    refused = send(side, side)
    assert (refused.status_code, refused.json()["code"]) == (429, "verification_delayed")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert guarded.client.delete(f"/v1/templates/{made['template_id']}/lock", headers=headers).status_code == 204
    assert send(side, side).json()["decision"] == "match"
    events = [entry["event"] for entry in guarded.audit.entries[-3:]]
    assert events == ["verification.refused", "template.unlocked", "verification.decided"]


class TestAuditTrail:
    def test_every_write_and_decision_has_a_line(self, guarded: RunningApi, fresh_png: FreshPng) -> None:
        headers = {**guarded.new_key(*Scope, tenant="acme"), "X-Request-ID": "request-1"}
        before = len(guarded.audit.entries)
        sample = fresh_png()
        first = enrol(guarded, headers, sample, subject="anna-7").json()["template_id"]
        enrol(guarded, headers, sample, subject="anna-7")
        more = {"samples": [base64.b64encode(fresh_png()).decode()]}
        send = guarded.client.request
        second = send("POST", f"/v1/templates/{first}/samples", json=more, headers=headers).json()["template_id"]
        side = {"template_id": first}
        send("POST", "/v1/verify", json={"reference": side, "probe": side, "scores": "raw"}, headers=headers)
        pairs = {"pairs": [{"reference": first, "probe": first}, {"reference": first, "probe": NOWHERE}]}
        send("POST", "/v1/verify/batch", json=pairs, headers=headers)
        send("POST", "/v1/verify/references", json={"references": [side], "probe": more}, headers=headers)
        send("DELETE", f"/v1/templates/{first}", headers=headers)
        send("DELETE", "/v1/subjects/anna-7", headers=headers)
        entries = guarded.audit.entries[before:]
        assert [(entry["event"], entry.get("template_id") or entry.get("reference")) for entry in entries] == [
            ("template.created", first),
            ("template.created", first),
            ("template.created", second),
            ("verification.decided", first),
            ("verification.decided", first),
            ("verification.decided", first),
            ("template.erased", first),
            ("template.erased", second),
        ]
        assert [entry["cached"] for entry in entries[:3]] == [False, True, False]
        for entry in entries:
            assert (entry["tenant"], entry["request_id"], entry["client"]) == ("acme", "request-1", "127.0.0.1")
            assert str(entry["key"]) in headers["Authorization"]
        assert entries[3]["decision"] == "match" and entries[3]["operating_point"] == "fmr_1e-3"
        assert "anna-7" not in repr(entries) and headers["Authorization"].split("_", 2)[2] not in repr(entries)
        assert not any("score" in entry for entry in entries)

    def test_what_cannot_be_accounted_for_is_not_answered(self, guarded: RunningApi, fresh_png: FreshPng) -> None:
        headers = guarded.new_key(*Scope)
        made = enrol(guarded, headers, fresh_png()).json()
        side = {"template_id": made["template_id"]}
        guarded.audit.broken = True
        try:
            refused = guarded.client.post("/v1/verify", json={"reference": side, "probe": side}, headers=headers)
        finally:
            guarded.audit.broken = False
        assert (refused.status_code, refused.json()["code"]) == (503, "audit_unavailable")
        assert "decision" not in refused.json()
