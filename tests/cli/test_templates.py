from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.running_api import RunningApi
from tests.api.test_templates import FreshPng, upload
from tests.cli.conftest import RunCommand

RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture
def url(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"


def test_every_template_is_listed_once(
    coreface_json: RunJson, coreface: RunCommand, api: RunningApi, url: str, fresh_png: FreshPng
) -> None:
    made = [upload(api, fresh_png(), subject=f"listed-{number}").json()["template_id"] for number in range(3)]
    status, answer = coreface_json("templates", "list", "--url", url)
    listed = [entry["template_id"] for entry in answer["templates"]]
    assert status == 0
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)
    _, out, _ = coreface("templates", "list", "--url", url)
    assert all(template_id in out for template_id in made)
    assert "listed-1" in out
    _, answer = coreface_json("templates", "list", "--subject", "listed-2", "--url", url)
    assert [entry["template_id"] for entry in answer["templates"]] == [made[2]]
    assert "listed-2" in coreface("templates", "list", "--subject", "listed-2", "--url", url)[1]


def test_a_template_is_shown(
    coreface_json: RunJson, coreface: RunCommand, api: RunningApi, url: str, fresh_png: FreshPng
) -> None:
    made = upload(api, fresh_png(), subject="anna").json()
    assert coreface_json("templates", "show", made["template_id"], "--url", url)[1]["samples"] == made["samples"]
    status, out, _ = coreface("templates", "show", made["template_id"], "--url", url)
    assert status == 0
    assert "subject: anna" in out and "used" in out
    status, answer = coreface_json("templates", "show", "A" * 22, "--url", url)
    assert (status, answer["error"]["code"]) == (2, "template_not_found")


def test_a_template_is_let_expire(
    coreface_json: RunJson, coreface: RunCommand, api: RunningApi, url: str, fresh_png: FreshPng
) -> None:
    made = upload(api, fresh_png()).json()
    status, answer = coreface_json("templates", "expire", made["template_id"], "--days", "0.01", "--url", url)
    assert status == 0
    assert answer["templates"][0]["expires_at"] < made["expires_at"]
    assert "expires at" in coreface("templates", "expire", made["template_id"], "--days", "900", "--url", url)[1]


def test_templates_are_erased_when_said_so(
    coreface_json: RunJson, coreface: RunCommand, api: RunningApi, url: str, fresh_png: FreshPng
) -> None:
    ids = [upload(api, fresh_png(), subject="gone").json()["template_id"] for _ in range(3)]
    status, _, err = coreface("templates", "erase", ids[0], "--url", url)
    assert status == 2
    assert "--yes" in err
    assert api.client.get(f"/v1/templates/{ids[0]}").status_code == 200
    assert coreface_json("templates", "erase", ids[0], "--yes", "--url", url) == (0, {"erased": 1})
    assert api.client.get(f"/v1/templates/{ids[0]}").status_code == 410
    assert coreface_json("templates", "erase", "--subject", "gone", "--yes", "--url", url) == (0, {"erased": 2})
    for wrong in ([], [ids[0], "--subject", "gone"]):
        assert coreface("templates", "erase", *wrong, "--yes", "--url", url)[0] == 2


@pytest.mark.parametrize(("said", "status"), [("y\n", 0), ("n\n", 2), ("", 1)])
def test_a_terminal_is_asked(
    coreface: RunCommand,
    api: RunningApi,
    url: str,
    fresh_png: FreshPng,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    status: int,
) -> None:
    import io

    class Typed(io.StringIO):
        def isatty(self) -> bool:
            return True

    template_id = upload(api, fresh_png()).json()["template_id"]
    monkeypatch.setattr(sys, "stdin", Typed(said))
    assert coreface("templates", "erase", template_id, "--url", url)[0] == status
    assert (api.client.get(f"/v1/templates/{template_id}").status_code == 410) is (status == 0)


def test_no_service_is_told(coreface: RunCommand) -> None:
    status, _, err = coreface("templates", "list", "--url", "http://127.0.0.1:9")
    assert status == 2
    assert "No coreface service answers" in err
