from __future__ import annotations

import base64
import hashlib
import re

from tests.api.running_api import RunningApi


def directives(policy: str) -> dict[str, set[str]]:
    return {name: set(sources) for name, *sources in (part.split() for part in policy.split(";"))}


def test_the_page_may_run_its_own_scripts_and_those_it_names_alone(api: RunningApi) -> None:
    response = api.client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    policy = directives(response.headers["content-security-policy"])
    inline = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    linked = re.findall(r'<script src="(.*?)"', response.text)
    assert inline
    assert linked
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline}
    sources = {source for source in policy["script-src"] if not source.startswith("'")}
    assert {source for source in policy["script-src"] if source.startswith("'")} == {f"'sha256-{d}'" for d in digests}
    assert all(any(url.startswith(source) for source in sources) for url in linked)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == {"'none'"}
    assert policy["connect-src"] == {"'self'"}


def test_its_styles_and_icon_are_allowed(api: RunningApi) -> None:
    response = api.client.get("/docs")
    policy = directives(response.headers["content-security-policy"])
    links = dict(re.findall(r'rel="(stylesheet|shortcut icon)" href="(.*?)"', response.text))
    assert any(links["stylesheet"].startswith(source) for source in policy["style-src"])
    assert links["shortcut icon"] in policy["img-src"]


def test_it_shows_the_document_of_the_service(api: RunningApi) -> None:
    assert "url: '/openapi.json'" in api.client.get("/docs").text
