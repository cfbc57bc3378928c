from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.application import describe_api
from service.api.problems import problem_codes
from service.observability.metrics import Metrics
from service.observability.store_calls import STORE_FAILURES
from service.observability.worker_metrics import WorkerMetrics
from tests.deployment.files import DEPLOY, ROOT, Document, load_yaml
from tests.deployment.promql import TARGET_LABELS, known_series, read_query

RULES_FILE = DEPLOY / "prometheus" / "rules.yml"
RULES = load_yaml(RULES_FILE)
ALERTS: list[Document] = RULES["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "coreface.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
JOBS = {"coreface-api", "coreface-worker", "coreface-balancer"}
RUNBOOK = ROOT / "docs" / "runbook.md"

VALUES: dict[str, set[str]] = {
    "code": problem_codes(),
    "job": JOBS,
    "check": {"store", "engine", "pack"},
    "network": {"detector", "embedder"},
    "decision": {"match", "non_match"},
    "reason": {*STORE_FAILURES, "too_many"},
    "route": set(describe_api()["paths"]),
    "status": {str(status) for status in range(100, 600)},
    "outcome": {"used", "found"},
}
"""Of the labels that queries choose by."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def expressions() -> Iterator[tuple[str, str]]:
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['id']} {panel['title']}, {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.fixture(scope="module")
def series() -> dict[str, frozenset[str]]:
    return known_series()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_series_and_label_is_one_that_there_is(name: str, series: dict[str, frozenset[str]]) -> None:
    query = read_query(EXPRESSIONS[name])
    assert query.selectors
    there: set[str] = set(TARGET_LABELS)
    for selector in query.selectors:
        assert selector.series in series
        labels = series[selector.series] | TARGET_LABELS
        assert {label for label, _ in selector.labels} <= labels
        there |= labels
    assert query.grouped_by <= there


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_value_is_one_that_may_be(name: str) -> None:
    for selector in read_query(EXPRESSIONS[name]).selectors:
        for label, value in selector.labels:
            for pattern in value.split("|"):
                assert any(re.fullmatch(pattern, known) for known in VALUES[label]), f"{label}={pattern}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_every_legend_names_labels_that_are_left(panel: Document) -> None:
    for target in panel["targets"]:
        query = read_query(target["expr"])
        left = query.left if query.left is not None else frozenset(TARGET_LABELS)
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= left


def test_panels_neither_overlap_nor_stand_out() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_leads_to_what_to_do(rule: Document) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"]
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / file == RUNBOOK
    assert anchor == rule["alert"].lower()


def test_the_runbook_has_a_section_for_every_alert_in_order() -> None:
    sections = re.findall(r"^### (Coreface\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in ALERTS]
    for section in re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        words = re.findall(r"^\*\*(\w+(?: \w+)?)\.\*\*", section, re.MULTILINE)
        assert words == ["Means", "Look at", "Do"], section.splitlines()[0]


def test_what_the_runbook_names_is_there(series: dict[str, frozenset[str]]) -> None:
    named = set(re.findall(r"`(coreface_\w+)", RUNBOOK.read_text()))
    assert named <= {*series, *(name.removesuffix("_bucket") for name in series)}


def test_the_operator_has_the_same_rules() -> None:
    assert load_yaml(DEPLOY / "prometheus" / "prometheus-rule.yaml")["spec"] == RULES


def test_every_alert_is_tested_to_fire_and_not_to() -> None:
    cases = load_yaml(DEPLOY / "prometheus" / "rules_test.yml")["tests"]
    tested = [(test["alertname"], bool(test["exp_alerts"])) for case in cases for test in case["alert_rule_test"]]
    assert tested == [(rule["alert"], fires) for rule in ALERTS for fires in (True, False)]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alerts_fire_where_they_should() -> None:
    promtool("check", "rules", RULES_FILE)
    promtool("test", "rules", DEPLOY / "prometheus" / "rules_test.yml")


@needs_promtool
def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")


@needs_promtool
def test_prometheus_takes_what_the_processes_answer() -> None:
    for answer in (Metrics(problem_codes()).render(), WorkerMetrics().render()):
        done = subprocess.run(["promtool", "check", "metrics"], input=answer, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_jobs_have_the_names_that_the_rules_know() -> None:
    scraped = load_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert {job["job_name"] for job in scraped} == JOBS


def test_the_dashboard_asks_the_provisioned_source() -> None:
    (source,) = load_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
