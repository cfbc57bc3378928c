from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from service.api.security_headers import SECURITY_HEADERS
from tests.api.running_api import RunningApi
from tests.api.test_templates import upload

ORIGIN = {"Origin": "https://elsewhere.example"}


def carries_them(response: httpx.Response) -> bool:
    return all(response.headers.get_list(name) == [value] for name, value in SECURITY_HEADERS.items())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/packs", 200),
        ("GET", "/v1/templates/AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/verify", 405),
        ("POST", "/v1/templates", 415),
        ("DELETE", "/v1/subjects/nobody", 200),
    ],
)
def test_every_answer_carries_them(api: RunningApi, method: str, path: str, status: int) -> None:
    response = api.client.request(method, path)
    assert response.status_code == status
    assert carries_them(response)


def test_a_template_and_a_defect_carry_them_too(api: RunningApi, fresh_png: Callable[[], bytes]) -> None:
    created = upload(api, fresh_png())
    assert created.status_code == 201
    assert carries_them(created)
    api.engine.failure = ZeroDivisionError()
    broken = upload(api, fresh_png())
    assert broken.status_code == 500
    assert carries_them(broken)


def test_what_a_route_sets_itself_stays(api: RunningApi) -> None:
    policies = api.client.get("/docs").headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert policies != [SECURITY_HEADERS["Content-Security-Policy"]]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/templates", "/v1/verify", "/health/live", "/docs", "/metrics"])
def test_no_page_of_another_origin_is_let_in(api: RunningApi, method: str, path: str) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    response = api.client.request(method, path, headers=asked)
    assert not [name for name in response.headers if name.startswith("access-control-")]
    if method == "OPTIONS":
        assert response.status_code == 405


def test_the_server_does_not_say_what_it_is_made_of(api: RunningApi) -> None:
    headers = api.client.get("/health/live").headers
    assert "server" not in headers
    assert "strict-transport-security" not in headers
