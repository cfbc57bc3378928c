"""Listing templates and letting them expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.api.running_api import RunningApi
from tests.api.test_templates import FreshPng, upload


def list_all(api: RunningApi, limit: int) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = []
    cursor = "0"
    for _ in range(1000):
        page = api.client.get("/v1/templates", params={"cursor": cursor, "limit": limit})
        assert page.status_code == 200
        listed += page.json()["templates"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return listed
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_every_template_is_listed_and_no_erased_one(api: RunningApi, fresh_png: FreshPng, limit: int) -> None:
    made = [upload(api, fresh_png(), subject=f"person-{number}").json() for number in range(12)]
    gone = made.pop()["template_id"]
    assert api.client.delete(f"/v1/templates/{gone}").status_code == 204
    listed = {entry["template_id"]: entry for entry in list_all(api, limit)}
    assert gone not in listed
    for answer in made:
        entry = listed[answer["template_id"]]
        assert entry["subject"] == answer["subject"]
        assert (entry["created_at"], entry["expires_at"]) == (answer["created_at"], answer["expires_at"])
        assert (entry["samples"], entry["quality"], entry["consistent"]) == (1, answer["quality"], answer["consistent"])
        assert not {"vector", "sealed_template", "digests"} & set(entry)


@pytest.mark.parametrize("query", ["cursor=x", "cursor=-1", f"cursor={'9' * 20}", "limit=0", "limit=201", "limit=many"])
def test_what_is_no_page_is_refused(api: RunningApi, query: str) -> None:
    response = api.client.get(f"/v1/templates?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_a_template_ends_sooner_and_never_later(api: RunningApi, fresh_png: FreshPng) -> None:
    made = upload(api, fresh_png(), subject="anna").json()
    template_id = made["template_id"]
    later = api.client.put(f"/v1/templates/{template_id}/expiry", params={"seconds": 10**9})
    assert (later.status_code, later.json()) == (
        200,
        {"template_id": template_id, "expires_at": made["expires_at"]},
    )
    before = datetime.now(UTC)
    sooner = api.client.put(f"/v1/templates/{template_id}/expiry", params={"seconds": 60})
    ends = datetime.fromisoformat(sooner.json()["expires_at"])
    assert timedelta(seconds=59) < ends - before < timedelta(seconds=65)
    assert api.client.get(f"/v1/templates/{template_id}").json()["expires_at"] == sooner.json()["expires_at"]
    [listed] = api.client.get("/v1/subjects/anna").json()["templates"]
    assert listed["expires_at"] == sooner.json()["expires_at"]
    events = [(entry["event"], entry.get("template_id")) for entry in api.audit.entries]
    assert ("template.expiry_set", template_id) in events


def test_an_expired_template_is_gone_from_everywhere(api: RunningApi, fresh_png: FreshPng) -> None:
    picture = fresh_png()
    template_id = upload(api, picture, subject="ben").json()["template_id"]
    assert api.client.put(f"/v1/templates/{template_id}/expiry", params={"seconds": 1}).status_code == 200
    ends = datetime.now(UTC) + timedelta(seconds=20)
    while api.client.get(f"/v1/templates/{template_id}").status_code == 200:
        assert datetime.now(UTC) < ends
    assert api.client.get("/v1/subjects/ben").json()["count"] == 0
    assert template_id not in {entry["template_id"] for entry in list_all(api, 50)}
    again = upload(api, picture, subject="ben").json()
    assert (again["cached"], again["template_id"] != template_id) == (False, True)


def test_there_is_nothing_to_let_expire(api: RunningApi, fresh_png: FreshPng) -> None:
    for template_id, status, code in (("A" * 22, 404, "template_not_found"), ("..", 404, None)):
        response = api.client.put(f"/v1/templates/{template_id}/expiry", params={"seconds": 5})
        assert response.status_code == status
        assert code is None or response.json()["code"] == code
    erased = upload(api, fresh_png()).json()["template_id"]
    api.client.delete(f"/v1/templates/{erased}")
    assert api.client.put(f"/v1/templates/{erased}/expiry", params={"seconds": 5}).json()["code"] == "template_erased"
    for query in ("", "seconds=0", "seconds=-5", "seconds=1e3", f"seconds={10**9 + 1}"):
        response = api.client.put(f"/v1/templates/{'A' * 22}/expiry?{query}")
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
