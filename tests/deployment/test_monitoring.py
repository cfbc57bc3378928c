from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.deployment.files import DEPLOY, ROOT, load_yaml

RULES = load_yaml(DEPLOY / "prometheus" / "rules.yml")
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "coreface.json").read_text())
JOBS = {"coreface-api", "coreface-worker", "coreface-balancer"}
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def documented_series() -> set[str]:
    rows = re.findall(r"^\| `(coreface_\w+)` \| (\w+) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {name + suffix for name, kind in rows for suffix in _SUFFIXES[kind]}


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']}, {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_series_is_one_that_is_documented(name: str) -> None:
    named = set(re.findall(r"coreface_\w+", EXPRESSIONS[name]))
    assert named <= documented_series()
    assert set(re.findall(r'job="([^"]+)"', EXPRESSIONS[name])) <= JOBS


def test_every_code_is_one_that_is_documented() -> None:
    codes = set(re.findall(r'code="(\w+)"', " ".join(EXPRESSIONS.values())))
    assert codes <= set(re.findall(r"^\| `(\w+)` \| \d+ \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))


def test_the_operator_has_the_same_rules() -> None:
    assert load_yaml(DEPLOY / "prometheus" / "prometheus-rule.yaml")["spec"] == RULES


def test_every_alert_is_explained() -> None:
    alerts = [rule["alert"] for rule in RULES["groups"][0]["rules"]]
    documented = re.findall(r"^\| `(Coreface\w+)` \|", (ROOT / "docs" / "deploying.md").read_text(), re.MULTILINE)
    assert documented == alerts


def test_jobs_have_the_names_that_the_rules_know() -> None:
    scraped = load_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert {job["job_name"] for job in scraped} == JOBS


def test_the_dashboard_asks_the_provisioned_source() -> None:
    (source,) = load_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
