"""The application of `--local`, and its parts alone: the model in this process, nothing kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from service.api.application import PartsOpener, build_application
from service.api.dependencies import ServiceParts
from service.app import assemble_parts
from service.assembly import build_local_engine
from service.cli.operator_settings import read_settings
from service.cli.transient_store import TransientAnswerStore, TransientTemplateStore
from service.engine.local import running
from service.observability.metrics import Metrics
from service.runtime.pack import load_pack
from service.store.sealing import AesGcmTemplateSealer, load_key_ring


def local_application() -> FastAPI:
    """Raises `SetupError` and its kin: no valid pack, no valid key."""
    return build_application(_parts_opener())


def open_local_parts() -> AbstractAsyncContextManager[ServiceParts]:
    """Raises as `local_application`."""
    return _parts_opener()(Metrics())


def _parts_opener() -> PartsOpener:
    settings = read_settings()
    pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
    sealer = AesGcmTemplateSealer(load_key_ring(settings))

    @asynccontextmanager
    async def open_parts(metrics: Metrics) -> AsyncIterator[ServiceParts]:
        async with running(build_local_engine(pack, settings)) as engine:
            store, answers = TransientTemplateStore(), TransientAnswerStore()
            yield assemble_parts(settings, pack, engine, store, answers, sealer, metrics)

    return open_parts
