"""The real application behind a real server on a free port of the loopback interface, around a fake engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import httpx

from service.api.application import build_application
from service.api.dependencies import ServiceParts
from service.api.doors import NO_DOORS, Doors
from service.api.http_server import build_server
from service.api.idempotency import IdempotentAnswers
from service.calibration.calibrator import PackCalibrator
from service.calibration.quality_scale import QualityScale
from service.http_listening import open_listener
from service.observability.metrics import Metrics
from service.pipeline.batch_verification import BatchVerifier
from service.pipeline.template_creation import CreationPolicy, TemplateCreator
from service.pipeline.verification import Verifier
from service.runtime.manifest import Manifest
from service.runtime.pack import Pack
from service.settings import Limits, Retention
from service.store.answer_store import RedisAnswerStore
from service.store.claims import CLAIM_LIFE_S
from service.store.connection import connect_redis
from service.store.sealing import KEY_BYTES, AesGcmTemplateSealer
from service.store.template_store import RedisTemplateStore
from service.types import QualityLimits
from service.vision.sniffing import ImageLimits
from tests.calibrations import make_calibration
from tests.pipeline.fakes import WIDTH, FakeEngine

_BUNDLED_MANIFEST = Path(__file__).parents[2] / "models" / "packs" / "opencv-sface" / "manifest.json"
_KEY = bytes(range(KEY_BYTES))


def make_pack(*, calibrated: bool = True, edges: tuple[float, ...] = ()) -> Pack:
    """The default pack's description with the fake engine's width; no file backs it."""
    bundled = Manifest.model_validate_json(_BUNDLED_MANIFEST.read_bytes())
    embedder = bundled.embedder.model_copy(update={"width": WIDTH})
    manifest = bundled.model_copy(update={"name": "test-pack", "embedder": embedder})
    calibration = make_calibration(manifest.fingerprint, edges=edges)
    return Pack(Path("nowhere"), manifest, calibration if calibrated else None)


class RunningApi:
    """Start it as a context manager; ask it through `client`. Its store is real."""

    def __init__(
        self,
        redis_url: str,
        limits: Limits,
        pack: Pack | None = None,
        *,
        claim_life_s: float = CLAIM_LIFE_S,
        doors: Doors = NO_DOORS,
    ) -> None:
        self.limits = limits
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
        store = RedisTemplateStore(redis, (_KEY,), Retention(), claim_life_s=self._claim_life_s)
        answers = RedisAnswerStore(redis, (_KEY,), Retention().idempotency_ttl_s, claim_life_s=self._claim_life_s)
        creator = TemplateCreator(
            self.engine,
            store,
            self.pack.fingerprint,
            policy,
            embedding_fingerprint="e" * 32,
            quality_scale=QualityScale(None),
        )
        calibrator = PackCalibrator(self.pack.calibration)
        fingerprint = self.pack.fingerprint
        verifier = Verifier(creator, store, self.sealer, fingerprint=fingerprint, width=WIDTH, calibrator=calibrator)
        yield ServiceParts(
            pack=self.pack,
            engine=self.engine,
            store=store,
            sealer=self.sealer,
            creator=creator,
            verifier=verifier,
            batch_verifier=BatchVerifier(verifier, store, calibrator, fingerprint=fingerprint),
            answers=IdempotentAnswers(answers, timeout_s=self.limits.request_timeout_s),
            limits=self.limits,
            metrics=metrics,
        )
        await redis.aclose()

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
