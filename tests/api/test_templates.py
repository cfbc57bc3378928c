from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime

import httpx
import numpy as np
import pytest

from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import WIDTH, png

FreshPng = Callable[[], bytes]


def upload(api: RunningApi, *samples: bytes, **fields: str) -> httpx.Response:
    files = [("samples", (f"{index}.png", data)) for index, data in enumerate(samples)]
    return api.client.post("/v1/templates", files=files, data=fields)


def upload_json(api: RunningApi, *samples: bytes, **members: object) -> httpx.Response:
    encoded = [base64.b64encode(sample).decode() for sample in samples]
    return api.client.post("/v1/templates", json={"samples": encoded, **members})


def test_a_sample_set_becomes_a_template(api: RunningApi, fresh_png: FreshPng) -> None:
    response = upload(api, fresh_png(), fresh_png())
    assert response.status_code == 201
    answer = response.json()
    assert response.headers["location"] == f"/v1/templates/{answer['template_id']}"
    assert set(answer) == {
        "template_id",
        "cached",
        "fingerprint",
        "created_at",
        "expires_at",
        "template_norm",
        "quality",
        "consistent",
        "subject",
        "samples",
    }
    assert answer["cached"] is False
    assert answer["fingerprint"] == api.pack.fingerprint
    lifetime = datetime.fromisoformat(answer["expires_at"]) - datetime.fromisoformat(answer["created_at"])
    assert lifetime.total_seconds() == pytest.approx(3600)
    assert [sample["index"] for sample in answer["samples"]] == [0, 1]
    assert set(answer["samples"][0]) == {
        "index",
        "digest",
        "status",
        "reason",
        "box",
        "landmarks",
        "detection_score",
        "eye_distance",
        "sharpness",
        "brightness",
        "yaw",
        "roll",
        "feature_norm",
        "quality",
        "group",
        "seconds",
        "change",
        "core_rank",
        "weight",
    }
    assert sum(sample["weight"] for sample in answer["samples"]) == pytest.approx(1)


def test_the_same_set_is_answered_from_the_cache_in_the_order_of_the_upload(
    api: RunningApi, fresh_png: FreshPng
) -> None:
    first, second = fresh_png(), fresh_png()
    created = upload(api, first, b"no image", second).json()
    response = upload(api, second, first, b"no image")
    assert response.status_code == 200
    answer = response.json()
    assert answer["cached"] is True
    assert answer["template_id"] == created["template_id"]
    assert [sample["reason"] for sample in answer["samples"]] == [None, None, "unsupported_type"]
    assert len(api.engine.requests) == 1


def test_multipart_and_json_make_the_same_template(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = (fresh_png(), fresh_png() + b"x" * 5000)
    created = upload(api, *samples).json()
    answer = upload_json(api, *samples).json()
    assert answer["cached"] is True
    assert answer["template_id"] == created["template_id"]


def test_the_consistency_policy_travels(api: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    upload(api, sample, consistency_policy="drop")
    upload_json(api, sample, consistency_policy="refuse")
    assert [request.consistency_policy.value for request in api.engine.requests[-2:]] == ["drop", "refuse"]


def test_a_set_of_several_people_is_told(api: RunningApi, fresh_png: FreshPng) -> None:
    first, second = fresh_png(), fresh_png()
    api.engine.foreign.add(digest_sample(second))
    body = upload(api, first, second).json()
    assert body["consistent"] is False
    assert [sample["group"] for sample in body["samples"]] == [0, 1]
    assert api.client.get(f"/v1/templates/{body['template_id']}").json()["consistent"] is False


def test_a_refused_set_of_several_people_names_every_sample(api: RunningApi, fresh_png: FreshPng) -> None:
    first, second = fresh_png(), fresh_png()
    api.engine.foreign.add(digest_sample(first))
    response = upload(api, first, second, consistency_policy="refuse")
    assert (response.status_code, response.json()["code"]) == (422, "inconsistent_set")
    assert [sample["reason"] for sample in response.json()["samples"]] == ["inconsistent"] * 2


@pytest.mark.parametrize(
    "policy", [{"consistency_policy": "drop"}, {"consistency_policy": "refuse"}, {"face_policy": "consistent"}]
)
def test_a_policy_that_the_pack_cannot_carry_out_is_refused(
    api: RunningApi, fresh_png: FreshPng, policy: dict[str, str]
) -> None:
    api.engine.groups_faces = False
    response = upload(api, fresh_png(), **policy)
    assert (response.status_code, response.json()["code"]) == (422, "consistency_unavailable")
    side = {"samples": [base64.b64encode(fresh_png()).decode()], **policy}
    problem = api.client.post("/v1/verify", json={"reference": {"vector": [1.0] * WIDTH}, "probe": side}).json()
    assert (problem["code"], problem["side"]) == ("consistency_unavailable", "probe")


def test_samples_are_added_to_a_kept_template(api: RunningApi, fresh_png: FreshPng) -> None:
    first, second, third = fresh_png(), fresh_png(), fresh_png()
    kept = upload(api, first, subject="anna").json()
    url = f"/v1/templates/{kept['template_id']}/samples"
    response = api.client.post(url, files=[("samples", ("2.png", second))], data={"include": "vector"})
    assert response.status_code == 201
    added = response.json()
    assert response.headers["location"] == f"/v1/templates/{added['template_id']}"
    assert added["template_id"] != kept["template_id"]
    assert (added["subject"], len(added["samples"])) == ("anna", 2)
    at_once = upload(api, second, first, subject="anna", include="vector")
    assert (at_once.status_code, at_once.json()["vector"]) == (200, added["vector"])
    again = api.client.post(url, json={"samples": [base64.b64encode(second).decode()]})
    assert (again.status_code, again.json()["cached"]) == (200, True)
    assert api.client.post(url, data={"subject": "ben"}, files=[("samples", ("3.png", third))]).status_code == 400
    assert api.client.delete(f"/v1/templates/{kept['template_id']}").status_code == 204
    gone = api.client.post(url, files=[("samples", ("3.png", third))])
    assert (gone.status_code, gone.json()["code"]) == (410, "template_erased")


def test_nothing_is_read_for_what_is_no_template(api: RunningApi) -> None:
    response = api.client.post("/v1/templates/none/samples", files=[("samples", ("3.png", b"x"))])
    assert (response.status_code, response.json()["code"]) == (404, "template_not_found")


def test_a_template_is_drawn_from_its_samples(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = [fresh_png(), fresh_png()]
    kept = upload(api, *samples).json()
    url = f"/v1/templates/{kept['template_id']}/report"
    files = [("samples", ("x.png", data)) for data in samples]
    response = api.client.post(url, files=files)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.headers["cache-control"] == "no-store"
    assert response.content == b"".join(samples)
    assert api.client.post(url, files=files[1:]).content == samples[1]
    other = api.client.post(url, files=[*files, ("samples", ("x.png", fresh_png()))])
    assert (other.status_code, other.json()["code"]) == (422, "samples_mismatch")
    assert api.client.post("/v1/templates/none/report", files=files).status_code == 404


def test_the_face_policy_travels(api: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    upload(api, sample)
    assert upload(api, sample, face_policy="only").json()["cached"] is False
    assert upload_json(api, sample, face_policy="only").json()["cached"] is True
    assert [request.face_policy.value for request in api.engine.requests] == ["largest", "only"]


def test_vector_and_sealed_template_are_answered_when_asked_for(api: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    answer = upload(api, sample, include="vector, sealed_template").json()
    assert len(answer["vector"]) == WIDTH
    assert np.linalg.norm(answer["vector"]) == pytest.approx(1)
    template = api.sealer.unseal(base64.b64decode(answer["sealed_template"]))
    assert template.template_id == answer["template_id"]
    assert upload_json(api, sample, include=["vector"]).json()["vector"] == answer["vector"]
    assert "vector" not in upload(api, sample).json()


def test_one_bad_sample_never_fails_a_set(api: RunningApi, fresh_png: FreshPng) -> None:
    good = fresh_png()
    api.engine.faceless.add(digest_sample(faceless := fresh_png()))
    for send in (upload, upload_json):
        answer = send(api, faceless, good, b"", png(content=b"long" * 10_000)).json()
        assert [sample["reason"] for sample in answer["samples"]] == ["no_face", None, "empty", "too_large"]
        assert [sample["status"] for sample in answer["samples"]] == ["rejected", "used", "rejected", "rejected"]


def test_looking_at_a_template_and_erasing_it(api: RunningApi, fresh_png: FreshPng) -> None:
    created = upload(api, fresh_png()).json()
    path = f"/v1/templates/{created['template_id']}"
    found = api.client.get(path)
    assert found.status_code == 200
    del created["cached"]
    assert found.json() == created
    erased = api.client.delete(path)
    assert erased.status_code == 204
    assert erased.content == b""
    assert api.client.get(path).status_code == 410
    assert api.client.delete(path).status_code == 410


@pytest.mark.parametrize("template_id", ["x", "A" * 22, "A" * 23, "%00", "a b", "..%2F..", "A" * 5000])
def test_an_unknown_id_of_any_form_is_not_found(api: RunningApi, template_id: str) -> None:
    for method in ("GET", "DELETE"):
        response = api.client.request(method, f"/v1/templates/{template_id}")
        assert response.status_code == 404
        assert response.json()["code"] in ("template_not_found", "route_not_found")
