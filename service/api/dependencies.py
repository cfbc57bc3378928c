"""The working parts that routes reach for. `app.py` opens them; nothing here knows their implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request

from service.access.allowances import Allowances
from service.access.authentication import Authenticator
from service.access.lockouts import Lockouts
from service.api.access import CurrentCaller
from service.api.audit_trail import AuditTrail
from service.api.idempotency import IdempotentAnswers
from service.observability.metrics import Metrics
from service.pipeline.batch_verification import BatchVerifier
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.verification import Verifier
from service.protocols import TemplateEngine, TemplateSealer, TemplateStore
from service.runtime.pack import Pack
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class TenantParts:
    """What works for one tenant, and reaches nothing of another's."""

    tenant: str
    pack: Pack
    engine: TemplateEngine
    store: TemplateStore
    sealer: TemplateSealer
    creator: TemplateCreator
    verifier: Verifier
    batch_verifier: BatchVerifier
    answers: IdempotentAnswers
    lockouts: Lockouts
    allowances: Allowances
    limits: Limits
    metrics: Metrics
    audit: AuditTrail


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What one API process works with, from start-up to shut-down."""

    pack: Pack
    engine: TemplateEngine
    metrics: Metrics
    authenticator: Authenticator
    of_tenant: Callable[[str], TenantParts]


def metrics_of(app: FastAPI) -> Metrics:
    """Those that `build_application` gave it; they count from before the parts are open."""
    return cast(Metrics, app.state.metrics)


# Coroutines, all of them: the framework would hand plain functions to a thread each, which costs more than they do.
async def _service(request: Request) -> ServiceParts:
    return cast(ServiceParts, request.app.state.parts)


Service = Annotated[ServiceParts, Depends(_service)]


async def _parts(request: Request, caller: CurrentCaller) -> TenantParts:
    service: ServiceParts = request.app.state.parts
    return service.of_tenant(caller.tenant)


Parts = Annotated[TenantParts, Depends(_parts)]


async def refuse_under_load(parts: Parts) -> None:
    """Raises `OverloadedError` before a byte of the body is read, when no set could be done in time."""
    parts.engine.check_load(parts.tenant, parts.limits.request_timeout_s)
