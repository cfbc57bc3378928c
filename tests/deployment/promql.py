"""Queries as a real parser reads them, and the series that there are to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client import CollectorRegistry

from service.observability.metrics import Metrics
from service.observability.worker_metrics import WorkerMetrics

TARGET_LABELS = frozenset({"job", "instance"})
"""What Prometheus adds to every series."""
FOREIGN = {"up": frozenset[str]()}
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@dataclass(frozen=True, slots=True)
class Selector:
    series: str
    labels: tuple[tuple[str, str], ...]
    """Of its matchers: name and value, which may be a pattern."""


@dataclass(frozen=True, slots=True)
class Query:
    selectors: tuple[Selector, ...]
    grouped_by: frozenset[str]
    """Over all its aggregations."""
    left: frozenset[str] | None
    """Labels of what it answers; None: those of its series."""


def read_query(expression: str) -> Query:
    """Raises `ValueError` for what is no PromQL. What only a dashboard fills in is filled in."""
    tree = promql_parser.parse(expression.replace("$__rate_interval", "1m"))
    nodes = list(_walk(tree))
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    groupings = [_grouping(node) for node in nodes if isinstance(node, promql_parser.AggregateExpr)]
    return Query(
        tuple(
            Selector(node.name or "", tuple((matcher.name, matcher.value) for matcher in node.matchers.matchers))
            for node in selectors
        ),
        frozenset().union(*groupings),
        groupings[0] - {"le"} if groupings else None,
    )


def known_series() -> dict[str, frozenset[str]]:
    """Labels of every series that the processes answer, by name."""
    series = dict(FOREIGN)
    for registry in (Metrics().registry, WorkerMetrics().registry):
        series |= _series_of(registry)
    return series


def _series_of(registry: CollectorRegistry) -> dict[str, frozenset[str]]:
    series: dict[str, frozenset[str]] = {}
    for collector in registry._collector_to_names:
        if not hasattr(collector, "_labelnames"):  # the process's own figures
            series |= {metric.name + suffix: frozenset() for metric in collector.collect() for suffix in ("", "_total")}
            continue
        for metric in collector.describe():
            for suffix in _SUFFIXES[metric.type]:
                labels = {*collector._labelnames, *(("le",) if suffix == "_bucket" else ())}
                series[metric.name + suffix] = frozenset(labels)
    return series


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "args"):
        part = getattr(node, name, None)
        for child in part if isinstance(part, list) else [part]:
            if child is not None and not isinstance(child, str | int | float):
                yield from _walk(child)


def _grouping(node: Any) -> frozenset[str]:
    if node.modifier is None:
        return frozenset()
    assert node.modifier.type == promql_parser.AggModifierType.By, "`without` keeps labels that nobody has listed"
    return frozenset(node.modifier.labels)
