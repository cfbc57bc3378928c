"""What was found out about a running service, as the answer for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from service.api.answers import (
    FindingAnswer,
    HealthReportAnswer,
    HealthStatus,
    QueueHealthAnswer,
    StoreHealthAnswer,
    WorkerHealthAnswer,
)
from service.api.health_findings import Finding
from service.conditions import EngineStatus, StoreCondition
from service.runtime.pack import Pack

_FROM_BAD_TO_GOOD: tuple[HealthStatus, ...] = ("failing", "warning", "ok")


def health_report(
    findings: Sequence[Finding], store: StoreCondition | str, engine: EngineStatus | str, *, version: str, pack: Pack
) -> HealthReportAnswer:
    """`store`, `engine`: what they say of themselves, or why they say nothing. `version`: of this process."""
    statuses = {finding.status for finding in findings}
    return HealthReportAnswer(
        status=next(status for status in _FROM_BAD_TO_GOOD if status in statuses),
        version=version,
        pack=pack.name,
        fingerprint=pack.fingerprint,
        checks=[FindingAnswer(**asdict(finding)) for finding in findings],
        store=None if isinstance(store, str) else _store_answer(store),
        queue=None if isinstance(engine, str) else _queue_answer(engine),
        workers=[] if isinstance(engine, str) else _worker_answers(engine),
    )


def _store_answer(store: StoreCondition) -> StoreHealthAnswer:
    return StoreHealthAnswer(
        latency_seconds=store.latency_s,
        used_bytes=store.used_bytes,
        limit_bytes=store.limit_bytes,
        clock_skew_seconds=store.clock_skew_s,
        saves=store.saves,
    )


def _queue_answer(engine: EngineStatus) -> QueueHealthAnswer:
    return QueueHealthAnswer(
        sets_waiting=engine.sets_waiting, sets_in_flight=engine.sets_in_flight, oldest_seconds=engine.oldest_s
    )


def _worker_answers(engine: EngineStatus) -> list[WorkerHealthAnswer]:
    return [
        WorkerHealthAnswer(
            worker_id=member.worker_id, version=member.version, providers=list(member.providers), slots=member.slots
        )
        for member in engine.members
    ]
