"""The document stays one that written clients can go on with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.api.application import API_VERSION, describe_api
from tests.api.openapi_changes import breaking_changes

BASELINE = Path(__file__).with_name("openapi-1.json")
"""What version 1 of the API promised first. It is replaced when the API gets a new first number, and never else."""


def test_no_client_of_version_1_breaks() -> None:
    baseline = json.loads(BASELINE.read_text())
    assert baseline["info"]["version"].split(".")[0] == API_VERSION.split(".")[0]
    assert breaking_changes(baseline, describe_api()) == []


def schemas(document: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"]


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a route": (lambda new: new["paths"].pop("/v1/verify"), "POST /v1/verify is gone"),
    "a method": (lambda new: new["paths"]["/v1/templates"].pop("get"), "GET /v1/templates is gone"),
    "a member of an answer": (
        lambda new: schemas(new)["VerifyAnswer"]["properties"].pop("decision"),
        "POST /v1/verify: 200.decision is gone",
    ),
    "a member inside": (
        lambda new: schemas(new)["SampleEntry"]["properties"].pop("weight"),
        "samples[].weight is gone",
    ),
    "an answer that may be null": (
        lambda new: schemas(new)["VerifyAnswer"]["properties"]["threshold"].update(type=["number", "null"]),
        "threshold may be ['null'] now",
    ),
    "a member that may be left out": (
        lambda new: schemas(new)["VerifyAnswer"]["required"].remove("fmr"),
        "fmr may be left out now",
    ),
    "a needed member of a body": (
        lambda new: schemas(new)["VerifyBody"]["required"].append("operating_point"),
        "operating_point is needed now",
    ),
    "a member of a body": (
        lambda new: schemas(new)["VerifyBody"]["properties"].pop("explain"),
        "explain is taken no more",
    ),
    "a value of a body": (lambda new: schemas(new)["FacePolicy"]["enum"].remove("only"), "takes 'only' no more"),
    "a lower limit": (
        lambda new: schemas(new)["PairsBody"]["properties"]["pairs"].update(maxItems=10),
        "maxItems is 10, was 1000",
    ),
    "a kind of body": (
        lambda new: new["paths"]["/v1/templates"]["post"]["requestBody"]["content"].pop("multipart/form-data"),
        "multipart/form-data is no body any more",
    ),
    "a needed parameter": (
        lambda new: new["paths"]["/v1/templates"]["get"]["parameters"][0].update(required=True),
        "is needed now",
    ),
    "a status": (
        lambda new: new["paths"]["/v1/templates"]["post"]["responses"].pop("200"),
        "200 is answered no more",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_break_a_client_is_found(change: str) -> None:
    make, told = CHANGES[change]
    new = copy.deepcopy(describe_api())
    make(new)
    assert any(told in found for found in breaking_changes(describe_api(), new))


def test_what_breaks_nobody_is_let_pass() -> None:
    new = copy.deepcopy(describe_api())
    new["paths"]["/v1/more"] = new["paths"]["/v1/packs"]
    schemas(new)["VerifyAnswer"]["properties"]["more"] = {"type": "string"}
    schemas(new)["VerifyBody"]["properties"]["more"] = {"type": "string"}
    schemas(new)["PairsBody"]["properties"]["pairs"]["maxItems"] = 2000
    schemas(new)["FacePolicy"]["enum"].append("smallest")
    assert breaking_changes(describe_api(), new) == []
