from __future__ import annotations

import pytest

from tests.api.running_api import RunningApi
from tests.api.test_templates import FreshPng, upload, upload_json


def test_templates_are_listed_and_erased_by_subject(api: RunningApi, fresh_png: FreshPng) -> None:
    shared = fresh_png()
    first = upload(api, shared, fresh_png(), subject="anna@example.org").json()
    second = upload_json(api, fresh_png(), subject="anna@example.org").json()
    other = upload(api, shared, subject="ben").json()
    answer = api.client.get("/v1/subjects/anna@example.org").json()
    assert (answer["subject"], answer["count"]) == ("anna@example.org", 2)
    assert {entry["template_id"]: entry["samples"] for entry in answer["templates"]} == {
        first["template_id"]: 2,
        second["template_id"]: 1,
    }
    assert api.client.get(f"/v1/templates/{first['template_id']}").json()["subject"] == "anna@example.org"
    erased = api.client.delete("/v1/subjects/anna@example.org")
    assert (erased.status_code, erased.json()) == (200, {"subject": "anna@example.org", "erased": 2})
    assert api.client.get("/v1/subjects/anna@example.org").json()["count"] == 0
    assert api.client.delete("/v1/subjects/anna@example.org").json()["erased"] == 0
    assert api.client.get(f"/v1/templates/{first['template_id']}").json()["code"] == "template_erased"
    assert api.client.get(f"/v1/templates/{other['template_id']}").status_code == 200


def test_one_picture_of_two_subjects_makes_two_templates(api: RunningApi, fresh_png: FreshPng) -> None:
    picture = fresh_png()
    made = [upload(api, picture, subject=subject).json() for subject in ("one", "two")]
    plain = upload(api, picture).json()
    assert len({answer["template_id"] for answer in (*made, plain)}) == 3
    assert plain["subject"] is None


@pytest.mark.parametrize("subject", ["", "a b", "x" * 129, "a/b", "a\nb", "../x", "ä"])
def test_what_is_no_subject_is_refused(api: RunningApi, fresh_png: FreshPng, subject: str) -> None:
    for send in (upload, upload_json):
        response = send(api, fresh_png(), subject=subject)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_what_is_no_subject_is_not_looked_for(api: RunningApi) -> None:
    for method in ("GET", "DELETE"):
        response = api.client.request(method, "/v1/subjects/a b")
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
