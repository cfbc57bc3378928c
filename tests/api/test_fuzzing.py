"""Whatever JSON or bytes arrive, the answer is an answer: never a 5xx, never anything but a problem document."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.problems import PROBLEM_MEDIA_TYPE
from tests.api.running_api import RunningApi
from tests.pipeline.fakes import WIDTH, png

relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=30),
    st.just("A" * 700),
    st.just("A" * 22),
    st.sampled_from(["iVBORw0KGgo=", "fmr_1e-4", "largest", "vector", "\u0000", "=", "e" * 32]),
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
vectors = st.lists(st.floats(-1e308, 1e308) | scalars, min_size=WIDTH, max_size=WIDTH)
side_members = {
    "template_id": anything,
    "vector": vectors | anything,
    "fingerprint": anything,
    "sealed_template": anything,
    "samples": st.lists(scalars, max_size=6) | anything,
    "face_policy": anything,
    "surprise": anything,
}
sides = st.dictionaries(st.sampled_from(list(side_members)), st.none(), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: side_members[name] for name in names})
)


def encode(document: Any) -> bytes:
    # Integers past 64 bits and non-finite numbers are no JSON that orjson writes; a client may send them all the same.
    try:
        return orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(document).encode()


def check(api: RunningApi, path: str, content: bytes, content_type: str) -> None:
    response = api.client.post(path, content=content, headers={"content-type": content_type})
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
        assert response.json()["status"] == response.status_code
        assert response.json()["code"]


@relaxed
@given(
    body=anything | st.fixed_dictionaries({"reference": sides, "probe": sides}, optional={"operating_point": anything})
)
def test_verify_survives_any_json(api: RunningApi, body: Any) -> None:
    check(api, "/v1/verify", encode(body), "application/json")


@relaxed
@given(
    body=anything
    | st.fixed_dictionaries({"pairs": st.lists(st.fixed_dictionaries({"reference": scalars, "probe": scalars}))})
    | st.fixed_dictionaries({"references": st.lists(sides, max_size=4), "probe": sides})
)
def test_batches_survive_any_json(api: RunningApi, body: Any) -> None:
    for path in ("/v1/verify/batch", "/v1/verify/references"):
        check(api, path, encode(body), "application/json")


@relaxed
@given(
    body=anything
    | st.fixed_dictionaries(
        {"samples": st.lists(scalars, max_size=6) | anything}, optional={"face_policy": anything, "include": anything}
    )
)
def test_templates_survive_any_json(api: RunningApi, body: Any) -> None:
    check(api, "/v1/templates", encode(body), "application/json")


@relaxed
@given(
    content=st.binary(max_size=200),
    content_type=st.sampled_from(["application/json", "multipart/form-data; boundary=b"]),
)
def test_both_survive_any_bytes(api: RunningApi, content: bytes, content_type: str) -> None:
    for path in ("/v1/templates", "/v1/verify", "/v1/verify/batch", "/v1/verify/references"):
        check(api, path, content, content_type)


@relaxed
@given(flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_templates_survive_a_damaged_form(api: RunningApi, flips: list[tuple[int, int]]) -> None:
    disposition = b'--b\r\nContent-Disposition: form-data; name="%b"; filename="x"\r\n\r\n%b\r\n'
    form = bytearray(disposition % (b"samples", png()) + disposition % (b"samples", b"x") + b"--b--\r\n")
    for place, value in flips:
        form[place % len(form)] = value
    check(api, "/v1/templates", bytes(form), "multipart/form-data; boundary=b")


@relaxed
# A client takes the ids . and .. for steps in the path, and asks for another one.
@given(
    template_id=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda template_id: template_id not in (".", "..")
    )
)
def test_any_id_is_answered(api: RunningApi, template_id: str) -> None:
    for method in ("GET", "DELETE"):
        response = api.client.request(method, f"/v1/templates/{quote(template_id, safe='')}")
        assert response.status_code in (404, 405)
        assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
