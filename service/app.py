"""The composition root of the API process: which engine, which store, which pack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from fastapi import FastAPI
from redis.asyncio import Redis

from service.api.application import build_application
from service.api.dependencies import ServiceParts
from service.errors import CorefaceError, SetupError
from service.observability.metrics import Metrics
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.verification import Verifier
from service.policies import creation_policy
from service.protocols import TemplateEngine
from service.runtime.pack import Pack, load_pack
from service.settings import EngineKind, Settings
from service.store.connection import connect_redis
from service.store.sealing import AesGcmTemplateSealer, PayloadSealer, SealingPurpose, load_sealing_key
from service.store.template_store import RedisTemplateStore


def create_app(settings: Settings) -> FastAPI:
    """The HTTP application with real parts, which are opened and closed by its lifespan.

    Raises `SetupError` and its kin where it could never serve: no Redis URL, no valid pack, no valid key.
    """
    if settings.redis_url is None:
        raise SetupError("The API needs COREFACE_REDIS_URL; `coreface serve` starts a store and workers by itself.")
    redis_url = settings.redis_url.get_secret_value()
    pack = load_pack(settings.packs_path / settings.pack)
    key = load_sealing_key(settings)

    def open_parts(metrics: Metrics) -> AbstractAsyncContextManager[ServiceParts]:
        return _open_parts(settings, redis_url, pack, key, metrics)

    return build_application(open_parts)


@asynccontextmanager
async def _open_parts(
    settings: Settings, redis_url: str, pack: Pack, key: bytes, metrics: Metrics
) -> AsyncIterator[ServiceParts]:
    redis = connect_redis(redis_url)
    sealer = AesGcmTemplateSealer(key)
    store = RedisTemplateStore(redis, sealer, PayloadSealer(key, SealingPurpose.EMBEDDINGS), settings.retention)
    engine = _choose_engine(settings, redis, pack, key)
    creator = TemplateCreator(engine, store, pack.fingerprint, creation_policy(settings))
    verifier = Verifier(
        creator,
        store,
        sealer,
        fingerprint=pack.fingerprint,
        width=pack.manifest.embedder.width,
        operating_point=pack.operating_point,
    )
    try:
        await _start(engine)
        yield ServiceParts(
            pack=pack,
            engine=engine,
            store=store,
            sealer=sealer,
            creator=creator,
            verifier=verifier,
            limits=settings.limits,
            metrics=metrics,
        )
    finally:
        await engine.stop()
        await redis.aclose()


async def _start(engine: TemplateEngine) -> None:
    try:
        await engine.start()
    except CorefaceError as error:
        structlog.stdlib.get_logger("coreface.start").error("cannot_start", code=error.code, detail=error.detail)
        raise


def _choose_engine(settings: Settings, redis: Redis, pack: Pack, key: bytes) -> TemplateEngine:
    if settings.engine is EngineKind.LOCAL:
        # Only here: in remote mode this process loads no decoder and no network.
        from service.assembly import build_set_processor
        from service.engine.local import LocalEngine

        return LocalEngine(
            lambda: build_set_processor(pack, settings),
            pack.fingerprint,
            max_batch_sets=settings.max_batch_sets,
            max_waiting_sets=settings.limits.max_waiting_sets,
        )
    from service.engine.remote import RemoteEngine

    return RemoteEngine(
        redis,
        PayloadSealer(key, SealingPurpose.ENGINE),
        pack.fingerprint,
        max_waiting_sets=settings.limits.max_waiting_sets,
    )
