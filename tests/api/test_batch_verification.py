from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import WIDTH

FreshPng = Callable[[], bytes]


@pytest.fixture
def ids(api: RunningApi, fresh_png: FreshPng) -> list[str]:
    bodies = [{"samples": [base64.b64encode(fresh_png()).decode()]} for _ in range(3)]
    return [api.client.post("/v1/templates", json=body).json()["template_id"] for body in bodies]


def test_pairs_are_answered_in_order_with_their_errors(api: RunningApi, ids: list[str]) -> None:
    erased = ids[2]
    assert api.client.delete(f"/v1/templates/{erased}").status_code == 204
    wanted = [(ids[0], ids[0]), (ids[0], ids[1]), ("A" * 22, ids[0]), (ids[0], erased), (ids[1], "no id at all")]
    pairs = [{"reference": reference, "probe": probe} for reference, probe in wanted]
    answer = api.client.post(
        "/v1/verify/batch", json={"pairs": pairs, "operating_point": "fmr_1e-2", "scores": "raw"}
    ).json()
    results = answer["results"]
    assert results[0]["decision"] == "match" and results[0]["score"] == pytest.approx(1.0)
    assert results[0]["threshold"] == pytest.approx(0.2) and results[0]["error"] is None
    assert results[1]["decision"] in ("match", "non_match")
    alone = {"reference": {"template_id": ids[0]}, "probe": {"template_id": ids[1]}, "operating_point": "fmr_1e-2"}
    alone["scores"] = "raw"
    verified = api.client.post("/v1/verify", json=alone).json()
    assert {name: results[1][name] for name in ("decision", "band", "score", "llr", "threshold")} == {
        name: verified[name] for name in ("decision", "band", "score", "llr", "threshold")
    }
    errors = [(result["error"]["code"], result["error"]["side"]) for result in results[2:]]
    assert errors == [
        ("template_not_found", "reference"),
        ("template_erased", "probe"),
        ("template_not_found", "probe"),
    ]
    assert all(
        result["decision"] is result["band"] is result["score"] is result["llr"] is None for result in results[2:]
    )
    assert answer["matches"] == sum(result["decision"] == "match" for result in results)
    assert answer["expected_false_matches"] == pytest.approx(2 * answer["fmr"])
    assert (answer["operating_point"], answer["pad"]) == ("fmr_1e-2", "not_performed")


def test_one_probe_against_several_references(api: RunningApi, ids: list[str], fresh_png: FreshPng) -> None:
    vector: dict[str, Any] = {"vector": [1.0] * WIDTH}
    body = {
        "references": [{"template_id": ids[0]}, {"template_id": "gone"}, vector],
        "probe": {"samples": [base64.b64encode(fresh_png()).decode()]},
    }
    results = api.client.post("/v1/verify/references", json=body).json()["results"]
    assert [result["error"] and result["error"]["code"] for result in results] == [None, "template_not_found", None]
    body["probe"] = {"template_id": "gone"}
    problem = api.client.post("/v1/verify/references", json=body).json()
    assert (problem["code"], problem["side"]) == ("template_not_found", "probe")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("batch", {"pairs": []}, "invalid_request"),
        ("batch", {"pairs": [{"reference": "a"}]}, "invalid_request"),
        ("batch", {"pairs": [{"reference": "a", "probe": "b"}] * 1001}, "invalid_request"),
        ("batch", {"pairs": [{"reference": "a", "probe": "b"}], "operating_point": "x"}, "unknown_operating_point"),
        (
            "batch",
            {"pairs": [{"reference": "a", "probe": "b"}], "operating_point": "fmr_1e-8"},
            "unsupported_operating_point",
        ),
        ("references", {"references": [], "probe": {"template_id": "a"}}, "invalid_request"),
        ("references", {"references": [{"template_id": "a"}] * 33, "probe": {"template_id": "a"}}, "invalid_request"),
        ("references", {"references": [{"samples": ["AAAA"]}], "probe": {"template_id": "a"}}, "invalid_request"),
    ],
)
def test_a_bad_body_has_its_code(api: RunningApi, path: str, body: dict[str, Any], code: str) -> None:
    response = api.client.post(f"/v1/verify/{path}", json=body)
    assert response.json()["code"] == code
    assert response.status_code in (400, 422)
    assert "results" not in response.json()


def test_a_reference_that_is_a_sample_set_is_pointed_at(api: RunningApi, ids: list[str]) -> None:
    body = {"references": [{"template_id": ids[0]}, {"samples": ["AAAA"]}], "probe": {"template_id": ids[0]}}
    response = api.client.post("/v1/verify/references", json=body)
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/references/1"]


def test_a_thousand_pairs_in_one_request(api: RunningApi, ids: list[str]) -> None:
    pairs = [{"reference": ids[index % 3], "probe": ids[index // 3 % 3]} for index in range(1000)]
    response = api.client.post("/v1/verify/batch", json={"pairs": pairs})
    assert response.status_code == 200
    assert len(response.json()["results"]) == 1000


def test_only_json_is_taken(api: RunningApi) -> None:
    for path in ("batch", "references"):
        response = api.client.post(f"/v1/verify/{path}", data={"pairs": "x"})
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_type")


def test_entries_tell_of_sides_that_are_of_several_people(api: RunningApi, ids: list[str], fresh_png: FreshPng) -> None:
    own, stranger = fresh_png(), fresh_png()
    api.engine.foreign.add(digest_sample(stranger))
    samples = {"samples": [base64.b64encode(data).decode() for data in (own, stranger)]}
    created = api.client.post("/v1/templates", json={**samples, "include": ["vector", "sealed_template"]}).json()
    mixed = created["template_id"]
    pairs = [{"reference": ids[0], "probe": mixed}, {"reference": mixed, "probe": ids[0]}]
    results = api.client.post("/v1/verify/batch", json={"pairs": pairs}).json()["results"]
    told = [(result["reference_consistent"], result["probe_consistent"]) for result in results]
    assert told == [(True, False), (False, True)]
    references = [{name: created[name]} for name in ("template_id", "sealed_template", "vector")]
    body = {"references": [*references, {"template_id": "gone"}], "probe": samples}
    results = api.client.post("/v1/verify/references", json=body).json()["results"]
    told = [(result["reference_consistent"], result["probe_consistent"]) for result in results]
    assert told == [(False, False), (False, False), (None, False), (None, None)]
