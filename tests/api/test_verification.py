from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service.pipeline.set_keys import digest_sample
from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi, make_pack
from tests.pipeline.fakes import WIDTH, embed

FreshPng = Callable[[], bytes]


def encode(*samples: bytes) -> list[str]:
    return [base64.b64encode(sample).decode() for sample in samples]


def verify(
    api: RunningApi, reference: dict[str, Any], probe: dict[str, Any], point: str | None = None
) -> httpx.Response:
    body = {"reference": reference, "probe": probe, "scores": "raw"}
    return api.client.post("/v1/verify", json=body if point is None else body | {"operating_point": point})


def cosine(*sets: list[bytes]) -> float:
    """Between the templates that the fake engine makes of two sets."""
    first, second = (
        np.sum([embed(digest_sample(sample)).embedding.vector for sample in samples], axis=0) for samples in sets
    )
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.fixture
def sides(api: RunningApi, fresh_png: FreshPng) -> dict[str, dict[str, Any]]:
    """One template, in every form that a side may take."""
    sample = fresh_png()
    body = {"samples": encode(sample), "include": ["vector", "sealed_template"]}
    created = api.client.post("/v1/templates", json=body).json()
    return {
        "template_id": {"template_id": created["template_id"]},
        "vector": {"vector": created["vector"], "fingerprint": created["fingerprint"]},
        "sealed_template": {"sealed_template": created["sealed_template"]},
        "samples": {"samples": encode(sample)},
    }


@pytest.mark.parametrize("reference", ["template_id", "vector", "sealed_template", "samples"])
@pytest.mark.parametrize("probe", ["template_id", "vector", "sealed_template", "samples"])
def test_any_mix_of_sides_compares(
    api: RunningApi, sides: dict[str, dict[str, Any]], reference: str, probe: str
) -> None:
    answer = verify(api, sides[reference], sides[probe], "fmr_1e-4").json()
    assert answer["decision"] == "match"
    assert answer["score"] == pytest.approx(1, abs=1e-6)
    assert (answer["operating_point"], answer["fmr"]) == ("fmr_1e-4", 1e-4)
    assert answer["threshold"] == pytest.approx(0.4)
    assert answer["threshold_interval"] == pytest.approx([0.38, 0.42])
    assert answer["fingerprint"] == api.pack.fingerprint
    assert answer["pad"] == "not_performed"
    assert answer["llr"] == pytest.approx(8.0, abs=1e-4)
    assert (answer["reference"]["quality_level"] == "unknown") == (reference == "vector")
    assert (answer["reference"]["template_norm"] is None) == (reference == "vector")
    assert (answer["probe"]["samples"] is None) == (probe != "samples")


def test_a_decision_is_explained_by_the_samples_of_either_side(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = [fresh_png() for _ in range(3)]
    kept = api.client.post("/v1/templates", json={"samples": encode(*samples)}).json()
    other = fresh_png()
    sides = {"reference": {"template_id": kept["template_id"]}, "probe": {"samples": encode(samples[0], other)}}
    plain = api.client.post("/v1/verify", json={**sides, "scores": "raw"}).json()
    answer = api.client.post("/v1/verify", json={**sides, "explain": True}).json()
    assert plain["reference"]["contributions"] is plain["probe"]["contributions"] is None
    assert answer["score"] == plain["score"]
    carried = answer["reference"]["contributions"]
    assert {entry["digest"] for entry in carried} == {digest_sample(sample) for sample in samples}
    changes = [abs(entry["score_change"]) for entry in carried]
    assert changes == sorted(changes, reverse=True)
    probe = [samples[0], other]
    for entry in carried:
        rest = [sample for sample in samples if digest_sample(sample) != entry["digest"]]
        assert entry["score_change"] == pytest.approx(answer["score"] - cosine(rest, probe), abs=1e-5)
    assert len(answer["probe"]["contributions"]) == 2


def test_a_kept_sample_set_is_explained_and_what_has_no_samples_is_not(
    api: RunningApi, fresh_png: FreshPng, sides: dict[str, dict[str, Any]]
) -> None:
    samples = encode(fresh_png(), fresh_png())
    api.client.post("/v1/templates", json={"samples": samples})
    for side in (sides["vector"], sides["sealed_template"], sides["template_id"]):
        body = {"reference": {"samples": samples}, "probe": side, "explain": True}
        answer = api.client.post("/v1/verify", json=body).json()
        assert len(answer["reference"]["contributions"]) == 2
        assert answer["probe"]["contributions"] is None, "one sample carries it all, and the others have none"


@pytest.mark.parametrize("kind", ["template_id", "sealed_template", "samples"])
def test_a_side_of_two_people_says_so_in_every_form(api: RunningApi, fresh_png: FreshPng, kind: str) -> None:
    samples = [fresh_png(), fresh_png()]
    api.engine.foreign.add(digest_sample(samples[1]))
    created = api.client.post(
        "/v1/templates", json={"samples": encode(*samples), "include": ["vector", "sealed_template"]}
    ).json()
    assert created["consistent"] is False
    side = {kind: encode(*samples) if kind == "samples" else created[kind]}
    answer = verify(api, side, {"vector": created["vector"]}).json()
    assert answer["reference"]["consistent"] is False
    assert answer["probe"]["consistent"] is None


def test_another_subject_is_a_non_match(api: RunningApi, sides: dict[str, dict[str, Any]]) -> None:
    opposite = {"vector": [-value for value in sides["vector"]["vector"]]}
    answer = verify(api, sides["template_id"], opposite).json()
    assert answer["decision"] == "non_match"
    assert answer["score"] == pytest.approx(-1, abs=1e-6)
    assert answer["operating_point"] == "fmr_1e-3"


def test_a_probe_set_is_not_stored(api: RunningApi, fresh_png: FreshPng, sides: dict[str, dict[str, Any]]) -> None:
    probe = encode(fresh_png())
    assert verify(api, sides["template_id"], {"samples": probe}).status_code == 200
    assert api.client.post("/v1/templates", json={"samples": probe}).json()["cached"] is False


def test_the_face_policy_of_a_side_travels(api: RunningApi, fresh_png: FreshPng) -> None:
    side = {"samples": encode(fresh_png()), "face_policy": "only"}
    assert verify(api, side, {"samples": encode(fresh_png())}).status_code == 200
    assert {request.face_policy.value for request in api.engine.requests} == {"only", "largest"}


def test_a_side_without_a_usable_sample_is_no_decision(
    api: RunningApi, fresh_png: FreshPng, sides: dict[str, dict[str, Any]]
) -> None:
    api.engine.faceless.add(digest_sample(faceless := fresh_png()))
    response = verify(api, sides["vector"], {"samples": encode(faceless)})
    assert response.status_code == 422
    problem = response.json()
    assert (problem["code"], problem["side"]) == ("no_usable_sample", "probe")
    assert problem["samples"][0]["reason"] == "no_face"
    assert "decision" not in problem


VECTOR: dict[str, Any] = {"vector": [1.0] * WIDTH}


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ({"template_id": "A" * 22}, 404, "template_not_found"),
        ({"template_id": "no id"}, 404, "template_not_found"),
        ({"vector": [1.0] * (WIDTH + 1)}, 422, "invalid_vector"),
        ({"vector": []}, 422, "invalid_vector"),
        ({"vector": [0.0] * WIDTH}, 422, "invalid_vector"),
        ({"vector": [1.0] * WIDTH, "fingerprint": "e" * 32}, 409, "fingerprint_mismatch"),
        ({"sealed_template": "AAAA"}, 422, "invalid_sealed_template"),
        ({"sealed_template": "A" * 4000}, 422, "invalid_sealed_template"),
        ({"samples": []}, 422, "no_samples"),
        ({"samples": ["AAAA"] * 5}, 413, "too_many_samples"),
        ({"samples": ["A" * 2000] * 9}, 413, "too_many_samples"),
        ({}, 400, "invalid_request"),
        ({"vector": ["1"]}, 400, "invalid_request"),
        ({"vector": [1.0] * WIDTH, "template_id": "A" * 22}, 400, "invalid_request"),
        ({"vector": [1.0] * WIDTH, "face_policy": "only"}, 400, "invalid_request"),
        ({"template_id": "A" * 22, "fingerprint": "e" * 32}, 400, "invalid_request"),
        ({"template_id": "A" * 2000}, 400, "invalid_request"),
        ({"vector": [1.0] * WIDTH, "template_norm": 0.0}, 422, "invalid_vector"),
        ({"vector": [1.0] * WIDTH, "template_norm": "12"}, 400, "invalid_request"),
        ({"template_id": "A" * 22, "template_norm": 12.0}, 400, "invalid_request"),
        ({"samples": ["not base64"]}, 400, "invalid_request"),
        ({"samples": ["AAAA"], "face_policy": "smallest"}, 400, "invalid_request"),
    ],
)
def test_a_bad_side_has_its_own_code(api: RunningApi, reference: dict[str, Any], status: int, code: str) -> None:
    response = verify(api, reference, VECTOR)
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("point", "code"), [("accurate", "unknown_operating_point"), ("fmr_1e-9", "unsupported_operating_point")]
)
def test_an_operating_point_that_is_not_there_is_refused(api: RunningApi, point: str, code: str) -> None:
    response = verify(api, VECTOR, VECTOR, point)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert "fmr_1e-3" in response.json()["detail"]


def test_a_vector_with_its_template_norm_is_of_known_quality(valkey_url: str) -> None:
    pack = make_pack(edges=(9.0,))
    with RunningApi(valkey_url, LIMITS, pack=pack) as api:
        norms: list[dict[str, Any]] = [{}, {"template_norm": 8.0}, {"template_norm": 12.0}]
        answers = [verify(api, VECTOR | norm, VECTOR | norm).json() for norm in norms]
    thresholds = [answer["threshold"] for answer in answers]
    assert thresholds == pytest.approx([0.3, 0.3, 0.1])
    assert [answer["probe"]["quality_level"] for answer in answers] == ["unknown", "low", "high"]
    llrs = [answer["llr"] for answer in answers]
    assert llrs[0] == llrs[1] < llrs[2]


def test_wrong_fields_are_pointed_at(api: RunningApi) -> None:
    problem = verify(api, {"samples": ["AAAA", "%"]}, VECTOR | {"surname": 1}).json()
    assert {entry["pointer"] for entry in problem["errors"]} == {"#/reference/samples/1", "#/probe/surname"}


def test_only_json_is_taken(api: RunningApi) -> None:
    response = api.client.post("/v1/verify", data={"reference": "x"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("field", "text"), [("vector/1", '"vector": [1.0, %s]'), ("template_norm", '"template_norm": %s')]
)
@pytest.mark.parametrize("side", ["reference", "probe"])
def test_a_number_that_is_not_finite_is_pointed_at(
    api: RunningApi, number: str, field: str, text: str, side: str
) -> None:
    plain = '{"vector": %s}' % ([1.0] * WIDTH)
    wrong = "{%s}" % (text % number) if "vector" in field else plain[:-1] + ", " + text % number + "}"
    other = "probe" if side == "reference" else "reference"
    body = f'{{"{side}": {wrong}, "{other}": {plain}}}'
    response = api.client.post("/v1/verify", content=body, headers={"content-type": "application/json"})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["side"]) == (422, "invalid_vector", side)
    assert [entry["pointer"] for entry in problem["errors"]] == [f"#/{side}/{field}"]
    assert "finite" in problem["detail"]


@pytest.mark.parametrize("vector", [[], [1.0] * 3000])
def test_a_vector_of_no_width_at_all_is_pointed_at(api: RunningApi, vector: list[float]) -> None:
    references = {"references": [VECTOR, {"vector": vector}], "probe": VECTOR}
    problem = api.client.post("/v1/verify/references", json=references).json()
    assert (problem["code"], problem["side"]) == ("invalid_vector", "reference")
    assert problem["errors"][0]["pointer"] == "#/references/1/vector"


def test_a_number_that_is_not_finite_makes_no_vector_of_other_fields(api: RunningApi) -> None:
    body = '{"samples": [NaN]}'
    response = api.client.post("/v1/templates", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert response.json()["errors"][0]["pointer"] == "#/samples/0"


def test_a_vector_at_fault_among_other_faults_is_an_invalid_request(api: RunningApi) -> None:
    response = verify(api, {"vector": []}, VECTOR | {"surname": 1})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert len(response.json()["errors"]) == 2
