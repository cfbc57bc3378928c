"""The application of `--local`, and its parts alone: the model in this process, nothing kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service.access.allowances import NoBudgets
from service.access.authentication import OpenDoor
from service.access.lockouts import NoLockouts
from service.api.application import PartsOpener, build_application
from service.api.audit_trail import AuditTrail
from service.api.dependencies import ServiceParts, TenantParts
from service.assembly import build_local_engine
from service.cli.operator_settings import read_settings
from service.cli.transient_store import TransientAnswerStore, TransientTemplateStore
from service.engine.local import running
from service.observability.audit import NoAuditLog
from service.observability.metrics import Metrics
from service.runtime.pack import load_pack
from service.store.sealing import AesGcmTemplateSealer, load_key_ring
from service.tenants import TenantStores, assemble_service, pipeline_policy
from service.types import DEFAULT_TENANT


def local_application() -> FastAPI:
    """Raises `SetupError` and its kin: no valid pack, no valid key."""
    return build_application(_parts_opener())


@asynccontextmanager
async def open_local_parts() -> AsyncIterator[TenantParts]:
    """Raises as `local_application`."""
    async with _parts_opener()(Metrics()) as parts:
        yield parts.of_tenant(DEFAULT_TENANT)


def _parts_opener() -> PartsOpener:
    settings = read_settings()
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    sealer = AesGcmTemplateSealer(load_key_ring(settings))

    @asynccontextmanager
    async def open_parts(metrics: Metrics) -> AsyncIterator[ServiceParts]:
        async with running(build_local_engine(pack, settings)) as engine:
            stores = TenantStores(TransientTemplateStore(), TransientAnswerStore(), sealer, NoLockouts(), NoBudgets())
            yield assemble_service(
                pipeline_policy(settings, pack),
                pack,
                engine,
                lambda _tenant: stores,
                OpenDoor(),
                AuditTrail(NoAuditLog()),
                metrics,
            )

    return open_parts
