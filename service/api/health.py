"""Liveness, readiness, health in detail, and metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.access.callers import Scope
from service.api.access import authenticated
from service.api.answers import CheckAnswer, HealthAnswer, HealthReportAnswer, ReadinessAnswer
from service.api.dependencies import Service, ServiceParts
from service.api.doors import came_by_operators_door
from service.api.draining import ProcessDraining
from service.api.health_findings import (
    Finding,
    engine_finding,
    further_findings,
    pack_finding,
    stopping_finding,
    store_finding,
)
from service.api.health_report import health_report
from service.api.problem_documentation import ACCESS_PROBLEMS, problems
from service.api.problems import problem_response
from service.conditions import EngineStatus, StoreCondition
from service.errors import CorefaceError, NotReadyError
from service.types import DEFAULT_TENANT

CHECK_TIMEOUT_S = 2.0

router = APIRouter(tags=["operation"])
_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ReadinessMemory:
    """What readiness was when it was asked last, so that the log tells of every change, and of nothing else."""

    def __init__(self) -> None:
        self._failing: frozenset[str] | None = None

    def note(self, findings: list[Finding]) -> None:
        failing = frozenset(finding.name for finding in findings if finding.status == "failing")
        if failing == self._failing:
            return
        self._failing = failing
        if failing:
            _log.warning("not_ready", checks=sorted(failing), reason=_reasons(findings))
        else:
            _log.info("ready")


@dataclass(frozen=True, slots=True)
class _Examination:
    """What store and engine say, or why they say nothing."""

    store: StoreCondition | str
    engine: EngineStatus | str


async def _operator(request: Request) -> None:
    """Whoever came by the operators' port, or has a key for it. Raises `UnauthenticatedError`,
    `InsufficientScopeError`, `StoreUnavailableError`."""
    if not came_by_operators_door(request.scope):
        (await authenticated(request)).require(Scope.ADMIN)


@router.get("/health/live", summary="Whether this process answers")
async def live() -> HealthAnswer:
    """Depends on nothing else: a restart is the cure for what this finds, and for nothing more."""
    return HealthAnswer(status="live")


@router.get(
    "/health/ready",
    response_model=ReadinessAnswer,
    responses=problems(NotReadyError),
    summary="Whether to send work here",
)
async def ready(request: Request, parts: Service, draining: ProcessDraining) -> ReadinessAnswer | Response:
    """200 when store, engine and pack are all usable; 503 with the reason of each otherwise, and once it stops."""
    if draining.announced:
        findings = [stopping_finding()]
    else:
        examination = await _examine(parts)
        findings = _readiness(parts, examination)
        for finding in findings:
            parts.metrics.check_made(finding.name, ok=finding.status != "failing")
    request.app.state.readiness.note(findings)
    checks = [
        CheckAnswer(
            name=finding.name,
            ok=finding.status != "failing",
            detail=finding.detail,
            remedy=finding.remedy if finding.status == "failing" else None,
        )
        for finding in findings
    ]
    if all(check.ok for check in checks):
        return ReadinessAnswer(status="ready", checks=checks)
    return problem_response(
        request.scope,
        NotReadyError.status,
        NotReadyError.code,
        NotReadyError.title,
        _reasons(findings),
        members={"checks": [check.model_dump() for check in checks]},
        headers={"Retry-After": str(NotReadyError.retry_after_s)},
    )


@router.get("/health", responses=ACCESS_PROBLEMS, summary="What works and what does not, in detail")
async def report(
    parts: Service, draining: ProcessDraining, _operator: Annotated[None, Depends(_operator)]
) -> HealthReportAnswer:
    """For operators: on their own port, and elsewhere with the scope `admin`. Always 200: whether to send work here is
    `/health/ready`'s to say."""
    examination = await _examine(parts)
    store, engine = examination.store, examination.engine
    own_version = version("coreface")
    time_limit_s = parts.of_tenant(DEFAULT_TENANT).limits.request_timeout_s
    findings = [
        *([stopping_finding()] if draining.announced else []),
        *_readiness(parts, examination),
        *further_findings(store, engine, own_version, time_limit_s),
    ]
    return health_report(findings, store, engine, version=own_version, pack=parts.pack)


@router.get("/metrics", response_class=Response, summary="Prometheus metrics")
async def metrics(parts: Service) -> Response:
    """Of this process, in the text format."""
    return Response(parts.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _examine(parts: ServiceParts) -> _Examination:
    store, engine = await asyncio.gather(_ask_store(parts), _ask_engine(parts))
    if isinstance(store, StoreCondition):
        parts.metrics.store_examined(store)
    return _Examination(store, engine)


async def _ask_store(parts: ServiceParts) -> StoreCondition | str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await parts.of_tenant(DEFAULT_TENANT).store.ping()
    except (CorefaceError, TimeoutError) as error:
        return _reason(error)


async def _ask_engine(parts: ServiceParts) -> EngineStatus | str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await parts.engine.status()
    except (CorefaceError, TimeoutError) as error:
        return _reason(error)


def _readiness(parts: ServiceParts, examination: _Examination) -> list[Finding]:
    return [store_finding(examination.store), engine_finding(examination.engine), pack_finding(parts.pack)]


def _reasons(findings: list[Finding]) -> str:
    return "; ".join(f"{finding.name}: {finding.detail}" for finding in findings if finding.status == "failing")


def _reason(error: CorefaceError | TimeoutError) -> str:
    return error.detail if isinstance(error, CorefaceError) else f"No answer within {CHECK_TIMEOUT_S:g} s."
