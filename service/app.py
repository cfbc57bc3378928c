"""The composition root of the API process: which engine, which store, which pack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from service.api.application import build_application
from service.api.dependencies import ServiceParts
from service.api.doors import Doors
from service.api.idempotency import IdempotentAnswers
from service.calibration.calibrator import PackCalibrator
from service.engine.local import LocalEngine
from service.engine.remote import RemoteEngine
from service.errors import SetupError
from service.observability.metrics import Metrics
from service.pipeline.batch_verification import BatchVerifier
from service.pipeline.template_creation import TemplateCreator
from service.pipeline.verification import Verifier
from service.policies import creation_policy, quality_scale
from service.protocols import AnswerStore, TemplateEngine, TemplateSealer, TemplateStore
from service.runtime.pack import Pack, load_pack
from service.settings import EngineKind, Settings
from service.store.answer_store import RedisAnswerStore
from service.store.connection import connect_redis
from service.store.sealing import AesGcmTemplateSealer, KeyRing, PayloadSealer, SealingPurpose, load_key_ring
from service.store.template_store import RedisTemplateStore


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

    return build_application(open_parts, Doors(settings.host, settings.admin_port, settings.allowed_hosts))


@asynccontextmanager
async def _open_parts(
    settings: Settings, redis_url: str, pack: Pack, ring: KeyRing, metrics: Metrics
) -> AsyncIterator[ServiceParts]:
    redis = connect_redis(redis_url)
    # The store's own client where it also carries the sets: one pool of connections.
    queues = [redis if url == redis_url else connect_redis(url) for url in settings.queue_url_list]
    sealer = AesGcmTemplateSealer(ring)
    store = RedisTemplateStore(redis, ring, settings.retention)
    answers = RedisAnswerStore(redis, ring, settings.retention.idempotency_ttl_s)
    engine: LocalEngine | RemoteEngine
    if settings.engine is EngineKind.LOCAL:
        # Only here: an API process with a remote engine loads no decoder and no network.
        from service.assembly import build_local_engine

        engine = build_local_engine(pack, settings, observe=metrics.stages.batch_done)
    else:
        engine = RemoteEngine(
            queues,
            PayloadSealer(ring, SealingPurpose.ENGINE),
            pack.fingerprint,
            max_waiting_sets=settings.limits.max_waiting_sets,
        )
    metrics.follow_gate(engine.gate)
    try:
        await engine.start()
        yield assemble_parts(settings, pack, engine, store, answers, sealer, metrics)
    finally:
        await engine.stop()
        for client in {redis, *queues}:
            await client.aclose()


def assemble_parts(
    settings: Settings,
    pack: Pack,
    engine: TemplateEngine,
    store: TemplateStore,
    answers: AnswerStore,
    sealer: TemplateSealer,
    metrics: Metrics,
) -> ServiceParts:
    """The pipeline around an engine and a store; opens nothing."""
    scale = quality_scale(pack.calibration)
    creator = TemplateCreator(
        engine,
        store,
        pack.fingerprint,
        creation_policy(settings, scale),
        embedding_fingerprint=pack.manifest.embedding_fingerprint,
        quality_scale=scale,
    )
    calibrator = PackCalibrator(pack.calibration)
    verifier = Verifier(
        creator,
        store,
        sealer,
        fingerprint=pack.fingerprint,
        width=pack.manifest.embedder.width,
        calibrator=calibrator,
    )
    return ServiceParts(
        pack=pack,
        engine=engine,
        store=store,
        sealer=sealer,
        creator=creator,
        verifier=verifier,
        batch_verifier=BatchVerifier(verifier, store, calibrator, fingerprint=pack.fingerprint),
        answers=IdempotentAnswers(answers, timeout_s=settings.limits.request_timeout_s),
        limits=settings.limits,
        metrics=metrics,
    )
