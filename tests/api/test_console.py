"""How the files of the console are served."""

from __future__ import annotations

import re
from importlib.resources import files

import httpx

from service.api.application import build_application
from tests.api.running_api import RunningApi


def test_every_file_that_is_named_is_there(api: RunningApi) -> None:
    page = api.client.get("/console")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r'(?:href|src)="(/console/[^"]+)"', page.text))
    assert named
    scripts = [file for file in files("service.console").iterdir() if file.name.endswith(".js")]
    for script in scripts:
        named |= {f"/console/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text())}
    assert {f"/console/{script.name}" for script in scripts} <= named
    for path in named:
        assert api.client.get(path).status_code == 200, path


def test_nothing_but_its_own_files_may_run(api: RunningApi) -> None:
    for path in ("/console", "/console/console.js"):
        policy = api.client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy and "http" not in policy
    text = api.client.get("/console").text
    assert not re.search(r"<script>|<style>| style=| on[a-z]+=", text)


def test_a_file_is_sent_again_when_it_has_changed_alone(api: RunningApi) -> None:
    first = api.client.get("/console/console.css")
    assert first.headers["cache-control"] == "no-cache"
    again = api.client.get("/console/console.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_no_other_file_is_reached(api: RunningApi) -> None:
    for path in ("/console/__init__.py", "/console/nothing.js", "/console/..%2fapp.py", "/console/"):
        assert api.client.get(path).json()["code"] == "route_not_found", path


async def test_it_can_be_left_out() -> None:
    application = build_application(None, with_console=False)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/console")).status_code == 404
