from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deployment.files import DEPLOY, ROOT, SETTINGS, load_all

YAML_FILES = [ROOT / "docker-compose.yml", *sorted(DEPLOY.rglob("*.yaml")), *sorted(DEPLOY.rglob("*.yml"))]
TEXTS = [
    path
    for path in [*YAML_FILES, *sorted((ROOT / "docker").iterdir()), *sorted(DEPLOY.rglob("*"))]
    if path.is_file() and path.suffix != ".json"
]
NO_SETTINGS = {
    *("COREFACE_REDIS_PASSWORD", "COREFACE_PUBLISH"),  # docker-compose.yml itself takes these
    *("COREFACE_BALANCER_BIND", "COREFACE_BALANCER_METRICS_BIND", *(f"COREFACE_API_{n}" for n in range(1, 5))),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", YAML_FILES, ids=name_of)
def test_yaml_can_be_read(path: Path) -> None:
    assert load_all(path)


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.json")), ids=name_of)
def test_json_can_be_read(path: Path) -> None:
    assert json.loads(path.read_text())


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"COREFACE_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
    assert named - SETTINGS - NO_SETTINGS == set()


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_no_secret_has_a_value(path: Path) -> None:
    text = path.read_text()
    assert "kind: Secret" not in text
    for line in re.findall(r"^ *\w*(?:PASSWORD|SEALING_KEY|REDISCLI_AUTH)[:=] *(\S.*)$", text, re.MULTILINE):
        assert re.match(r"\$\{\w+:\?", line), line
