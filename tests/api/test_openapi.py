from __future__ import annotations

import json
from pathlib import Path

from service.api.application import describe_api
from tests.api.running_api import RunningApi

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_the_applications() -> None:
    assert json.loads(COMMITTED.read_text()) == describe_api(), "run `coreface openapi > docs/openapi.json`"


def test_the_application_answers_the_same_document(api: RunningApi) -> None:
    assert api.client.get("/openapi.json").json() == describe_api()
    assert api.client.get("/docs").status_code == 200


def test_every_reference_leads_somewhere() -> None:
    document = describe_api()
    references = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                references.add(reference)
            for child in node.values():
                collect(child)
        elif isinstance(node, list):
            for child in node:
                collect(child)

    collect(document)
    known = {f"#/components/{kind}/{name}" for kind, names in document["components"].items() for name in names}
    assert references <= known


def test_both_content_types_of_an_upload_are_described() -> None:
    body = describe_api()["paths"]["/v1/templates"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    assert set(body["multipart/form-data"]["schema"]["properties"]) == {
        "samples",
        "face_policy",
        "consistency_policy",
        "include",
        "subject",
    }


def test_no_route_promises_another_form_of_error() -> None:
    text = json.dumps(describe_api())
    assert "HTTPValidationError" not in text


def test_every_operation_is_described_and_has_a_known_tag() -> None:
    """What Spectral's rules ask for (.spectral.yaml), where Spectral is not at hand."""
    document = describe_api()
    known = {tag["name"] for tag in document["tags"]}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert {tag for operation in operations for tag in operation["tags"]} == known
    assert all(operation["summary"] and operation["description"] for operation in operations)
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert "prefixItems" not in json.dumps(document)
