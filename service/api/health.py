"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.answers import CheckAnswer, HealthAnswer, ReadinessAnswer
from service.api.dependencies import Service, ServiceParts
from service.api.draining import ProcessDraining
from service.api.problem_documentation import problems
from service.api.problems import problem_response
from service.errors import CorefaceError, NotReadyError
from service.types import DEFAULT_TENANT

CHECK_TIMEOUT_S = 2.0

router = APIRouter(tags=["operation"])


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
        checks = [CheckAnswer(name="process", ok=False, detail="It is stopping; send work to another one.")]
    else:
        checks = list(await asyncio.gather(_check_store(parts), _check_engine(parts), _check_pack(parts)))
    if all(check.ok for check in checks):
        return ReadinessAnswer(status="ready", checks=checks)
    reasons = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok)
    return problem_response(
        request.scope,
        NotReadyError.status,
        NotReadyError.code,
        NotReadyError.title,
        reasons,
        members={"checks": [check.model_dump() for check in checks]},
        headers={"Retry-After": str(NotReadyError.retry_after_s)},
    )


@router.get("/metrics", response_class=Response, summary="Prometheus metrics")
async def metrics(parts: Service) -> Response:
    return Response(parts.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _check_store(parts: ServiceParts) -> CheckAnswer:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await parts.of_tenant(DEFAULT_TENANT).store.ping()
    except (CorefaceError, TimeoutError) as error:
        return CheckAnswer(name="store", ok=False, detail=_reason(error))
    return CheckAnswer(name="store", ok=True, detail="Templates can be kept.")


async def _check_engine(parts: ServiceParts) -> CheckAnswer:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            status = await parts.engine.status()
    except (CorefaceError, TimeoutError) as error:
        return CheckAnswer(name="engine", ok=False, detail=_reason(error))
    return CheckAnswer(name="engine", ok=status.ready, detail=status.detail)


async def _check_pack(parts: ServiceParts) -> CheckAnswer:
    # The files were verified at start-up. A pack without a calibration still makes templates.
    points = 0 if parts.pack.calibration is None else len(parts.pack.calibration.point_names)
    detail = f"{parts.pack.name}, fingerprint {parts.pack.fingerprint}, {points} operating points."
    return CheckAnswer(name="pack", ok=True, detail=detail)


def _reason(error: CorefaceError | TimeoutError) -> str:
    return error.detail if isinstance(error, CorefaceError) else f"No answer within {CHECK_TIMEOUT_S:g} s."
