"""The real application behind a real server on a free port of the loopback interface, around a fake engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from redis.asyncio import Redis

from service.access.api_keys import Pepper, new_api_key
from service.access.authentication import KeyAuthenticator, OpenDoor
from service.access.callers import Scope
from service.api.application import build_application
from service.api.audit_trail import AuditTrail
from service.api.dependencies import ServiceParts
from service.api.doors import NO_DOORS, Doors
from service.api.http_server import build_server
from service.app import redis_stores
from service.calibration.quality_scale import QualityScale
from service.errors import AuditUnavailableError
from service.http_listening import open_listener
from service.observability.metrics import Metrics
from service.pipeline.template_creation import CreationPolicy
from service.runtime.manifest import Manifest
from service.runtime.pack import Pack
from service.settings import Limits, Settings
from service.store.answer_store import RedisAnswerStore
from service.store.api_key_store import RedisApiKeyStore
from service.store.claims import CLAIM_LIFE_S
from service.store.connection import connect_redis
from service.store.sealing import KEY_BYTES, AesGcmTemplateSealer
from service.store.template_store import RedisTemplateStore
from service.tenants import PipelinePolicy, TenantStores, assemble_service
from service.types import DEFAULT_TENANT, QualityLimits
from service.vision.sniffing import ImageLimits
from tests.calibrations import make_calibration
from tests.pipeline.fakes import WIDTH, FakeEngine

RAW_SCORES_PER_DAY = 3
_BUNDLED_MANIFEST = Path(__file__).parents[2] / "models" / "packs" / "opencv-sface" / "manifest.json"
_KEY = bytes(range(KEY_BYTES))


def make_pack(*, calibrated: bool = True, edges: tuple[float, ...] = ()) -> Pack:
    """The default pack's description with the fake engine's width; no file backs it."""
    bundled = Manifest.model_validate_json(_BUNDLED_MANIFEST.read_bytes())
    embedder = bundled.embedder.model_copy(update={"width": WIDTH})
    manifest = bundled.model_copy(update={"name": "test-pack", "embedder": embedder})
    calibration = make_calibration(manifest.fingerprint, edges=edges)
    return Pack(Path("nowhere"), manifest, calibration if calibrated else None)


class KeptAuditLog:
    """Lines in memory."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self.broken = False

    def write(self, entries: Iterable[Mapping[str, object]]) -> None:
        if self.broken:
            raise AuditUnavailableError("The audit line of this request cannot be written.")
        self.entries += entries


class RunningApi:
    """Start it as a context manager; ask it through `client`. Its store is real."""

    def __init__(
        self,
        redis_url: str,
        limits: Limits,
        pack: Pack | None = None,
        *,
        claim_life_s: float = CLAIM_LIFE_S,
        with_keys: bool = False,
        doors: Doors = NO_DOORS,
    ) -> None:
        self.limits = limits
        self.with_keys = with_keys
        self.audit = KeptAuditLog()
        self._claim_life_s = claim_life_s
        self.engine = FakeEngine()
        self.sealer = AesGcmTemplateSealer((_KEY,))
        self._redis_url = redis_url
        self.pack = pack or make_pack()
        self.application = build_application(self._open_parts, doors)
        self._listeners = [open_listener("127.0.0.1", 0, who="The API", remedy="")]
        if doors.admin_port is not None:
            self._listeners.append(open_listener("127.0.0.1", doors.admin_port, who="The API", remedy=""))
        self.port: int = self._listeners[0].getsockname()[1]
        self._server = build_server(self.application, limits, doors.admin_port)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @asynccontextmanager
    async def _open_parts(self, metrics: Metrics) -> AsyncIterator[ServiceParts]:
        self.loop = asyncio.get_running_loop()
        policy = CreationPolicy(
            max_samples=self.limits.max_samples,
            max_template_samples=self.limits.max_template_samples,
            max_sample_bytes=self.limits.max_sample_bytes,
            image_limits=ImageLimits(max_pixels=1_000_000, max_side=2000, max_jpeg_scans=100, max_scan_megapixels=250),
            min_eye_distance_pixels=8.0,
            quality_limits=QualityLimits(),
            timeout_s=self.limits.request_timeout_s,
            template_ttl_s=3600,
        )
        redis = connect_redis(self._redis_url, timeout_s=2.0)
        settings = Settings(limits=self.limits)
        yield assemble_service(
            PipelinePolicy(self.limits, policy, QualityScale(None), raw_scores_per_day=RAW_SCORES_PER_DAY),
            self.pack,
            self.engine,
            lambda tenant: self._stores(redis, settings, tenant),
            KeyAuthenticator(RedisApiKeyStore(redis, (_KEY,)), Pepper((_KEY,))) if self.with_keys else OpenDoor(),
            AuditTrail(self.audit),
            metrics,
        )
        await redis.aclose()

    def _stores(self, redis: Redis, settings: Settings, tenant: str) -> TenantStores:
        stores = redis_stores(redis, (_KEY,), settings, tenant)
        retention = settings.retention
        return replace(
            stores,
            store=RedisTemplateStore(redis, (_KEY,), retention, tenant=tenant, claim_life_s=self._claim_life_s),
            answers=RedisAnswerStore(
                redis, (_KEY,), retention.idempotency_ttl_s, tenant=tenant, claim_life_s=self._claim_life_s
            ),
        )

    def new_key(
        self, *scopes: Scope, tenant: str = DEFAULT_TENANT, images_per_day: int | None = None
    ) -> dict[str, str]:
        """Headers of a new key. For an API that asks for them."""
        key, token = new_api_key(
            Pepper((_KEY,)),
            name="test",
            tenant=tenant,
            scopes=frozenset(scopes),
            images_per_day=images_per_day,
            expires_at=None,
            now=time.time(),
        )

        async def put() -> None:
            redis = connect_redis(self._redis_url)
            await RedisApiKeyStore(redis, (_KEY,)).put(key)
            await redis.aclose()

        asyncio.run(put())
        return {"Authorization": f"Bearer {token.text}"}

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with self.application.router.lifespan_context(self.application):
            await self._server.serve(sockets=self._listeners)

    def __enter__(self) -> RunningApi:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            self._thread.join(0.01)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(10)
