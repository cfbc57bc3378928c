"""The composition root of the API process: which engine, which store, which pack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from redis.asyncio import Redis

from service.access.api_keys import Pepper
from service.access.authentication import Authenticator, KeyAuthenticator, OpenDoor
from service.api.application import build_application
from service.api.audit_trail import AuditTrail
from service.api.dependencies import ServiceParts
from service.api.doors import Doors
from service.engine.local import LocalEngine
from service.engine.remote import RemoteEngine
from service.errors import SetupError
from service.observability.audit import LineAuditLog
from service.observability.metrics import Metrics
from service.observability.set_tracing import observing_passes
from service.runtime.pack import Pack, load_pack
from service.settings import AuthMode, EngineKind, Settings
from service.store.answer_store import RedisAnswerStore
from service.store.api_key_store import RedisApiKeyStore
from service.store.budgets import RedisBudgets
from service.store.connection import connect_redis
from service.store.lockouts import RedisLockouts
from service.store.sealing import AesGcmTemplateSealer, KeyRing, PayloadSealer, SealingPurpose, load_key_ring
from service.store.template_store import RedisTemplateStore
from service.tenants import TenantStores, assemble_service, pipeline_policy

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The HTTP application with real parts, which are opened and closed by its lifespan.

    Raises `SetupError` and its kin where it could never serve: no Redis URL, no valid pack, no valid key.
    """
    if settings.redis_url is None:
        raise SetupError("The API needs COREFACE_REDIS_URL; `coreface serve` starts a store and workers by itself.")
    redis_url = settings.redis_url.get_secret_value()
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    ring = load_key_ring(settings)

    def open_parts(metrics: Metrics) -> AbstractAsyncContextManager[ServiceParts]:
        return _open_parts(settings, redis_url, pack, ring, metrics)

    doors = Doors(settings.host, settings.admin_port, settings.allowed_hosts)
    return build_application(open_parts, doors, with_console=settings.console)


@asynccontextmanager
async def _open_parts(
    settings: Settings, redis_url: str, pack: Pack, ring: KeyRing, metrics: Metrics
) -> AsyncIterator[ServiceParts]:
    redis = connect_redis(redis_url)
    # The store's own client where it also carries the sets: one pool of connections.
    queues = [redis if url == redis_url else connect_redis(url) for url in settings.queue_url_list]
    engine: LocalEngine | RemoteEngine
    if settings.engine is EngineKind.LOCAL:
        # Only here: an API process with a remote engine loads no decoder and no network.
        from service.assembly import build_local_engine

        engine = build_local_engine(
            pack, settings, observe=observing_passes(metrics.stages), on_network=metrics.stages.network_opened
        )
    else:
        engine = RemoteEngine(
            queues,
            PayloadSealer(ring, SealingPurpose.ENGINE),
            pack.fingerprint,
            max_waiting_sets=settings.limits.max_waiting_sets,
        )
    metrics.follow_gate(engine.gate)
    metrics.follow_workers(lambda: engine.known_workers)
    metrics.describe(version=version("coreface"), pack=pack.name, fingerprint=pack.fingerprint)
    audit_log = LineAuditLog(settings.audit_sink)
    try:
        await engine.start()
        _log.info(
            "api_started",
            version=version("coreface"),
            pack=pack.name,
            fingerprint=pack.fingerprint,
            engine=settings.engine.value,
            auth=settings.auth.value,
        )
        yield assemble_service(
            pipeline_policy(settings, pack),
            pack,
            engine,
            lambda tenant: redis_stores(redis, ring, settings, tenant),
            _authenticator(settings, redis, ring),
            AuditTrail(audit_log, settings.trusted_proxies or ()),
            metrics,
        )
    finally:
        await engine.stop()
        audit_log.close()
        for client in {redis, *queues}:
            await client.aclose()
        _log.info("api_stopped")


def redis_stores(redis: Redis, ring: KeyRing, settings: Settings, tenant: str) -> TenantStores:
    """What keeps, counts and seals for a tenant in one Redis."""
    retention = settings.retention
    return TenantStores(
        store=RedisTemplateStore(redis, ring, retention, tenant=tenant),
        answers=RedisAnswerStore(redis, ring, retention.idempotency_ttl_s, tenant=tenant),
        sealer=AesGcmTemplateSealer(ring, tenant=tenant),
        lockouts=RedisLockouts(redis, settings.lockout, retention.template_ttl_s, tenant),
        budgets=RedisBudgets(redis, tenant),
    )


def _authenticator(settings: Settings, redis: Redis, ring: KeyRing) -> Authenticator:
    if settings.auth is AuthMode.KEYS:
        return KeyAuthenticator(RedisApiKeyStore(redis, ring), Pepper(ring))
    return OpenDoor()
