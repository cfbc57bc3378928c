"""Spans from the request to the worker and back, over a real server between them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from starlette.types import Receive, Scope, Send

from service.errors import TemplateNotFoundError
from service.observability import open_telemetry, tracing
from service.observability.metrics import Metrics
from service.observability.open_telemetry import OpenTelemetryTracer
from service.observability.request_context import RequestIdMiddleware
from service.observability.request_observation import RequestObservationMiddleware
from service.observability.set_tracing import observing_passes
from service.observability.stage_metrics import StageMetrics
from service.protocols import TemplateEngine
from service.settings import Retention, TelemetrySettings
from service.store.connection import connect_redis
from service.store.template_store import RedisTemplateStore
from tests.engine.conftest import KEY, PATIENT_S, running_remote, running_worker, until_ready
from tests.engine.fakes import FakeProcessor, make_request
from tests.engine.polling import until

TRACE_ID = "a1" * 16
ASKED = f"00-{TRACE_ID}-{'b2' * 8}-01"
TEMPLATE_ID = "Q" * 22


class Route:
    path = "/v1/templates/{template_id}"


class Application:
    """Looks a template up that is not there, and has a set made."""

    def __init__(self, engine: TemplateEngine, store: RedisTemplateStore) -> None:
        self._engine = engine
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = Route()
        with pytest.raises(TemplateNotFoundError):
            await self._store.get(TEMPLATE_ID)
        await self._engine.create(make_request(*scope["samples"]))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Rig:
    def __init__(self, application: Application) -> None:
        self._stack = RequestIdMiddleware(RequestObservationMiddleware(application, Metrics()))

    async def ask(self, *samples: str, traceparent: str = ASKED, path: str = f"/v1/templates/{TEMPLATE_ID}") -> None:
        async def send(_message: object) -> None: ...

        async def receive() -> dict[str, Any]:
            raise AssertionError

        headers = [(b"traceparent", traceparent.encode()), (b"x-request-id", b"request-of-anna")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "samples": samples}
        await self._stack(scope, receive, send)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with tracing.recording(OpenTelemetryTracer(provider, kept)):
        yield kept


@asynccontextmanager
async def running_rig(url: str, processor: FakeProcessor) -> AsyncIterator[Rig]:
    redis: Redis = connect_redis(url, timeout_s=PATIENT_S)
    observe = observing_passes(StageMetrics(CollectorRegistry()))
    try:
        async with running_worker(redis, processor, observe=observe), running_remote(redis) as engine:
            await until_ready(engine)
            yield Rig(Application(engine, RedisTemplateStore(redis, (KEY,), Retention())))
    finally:
        await redis.aclose()


def by_name(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


async def one(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    """The only span of this name, once it is there: that of a pass ends beside the set that it served."""
    await until(lambda: by_name(exporter, name))
    (span,) = by_name(exporter, name)
    return span


async def test_one_trace_from_the_request_to_the_worker(valkey_url: str, exporter: InMemorySpanExporter) -> None:
    async with running_rig(valkey_url, FakeProcessor()) as rig:
        await rig.ask("face one", "face two")
        chain = ["POST /v1/templates/{template_id}", "set", "send", "process set", "set", "all"]
        request = await one(exporter, chain[0])
        assert (request.kind, request.parent.span_id) == (SpanKind.SERVER, int("b2" * 8, 16))
        assert request.attributes == {
            "http.request.method": "POST",
            "http.route": "/v1/templates/{template_id}",
            "http.response.status_code": 201,
        }
        passed = await one(exporter, "all")
        await one(exporter, "process set")
        spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
        upwards = [passed]
        while (parent := upwards[-1].parent) is not None and parent.span_id in spans:
            upwards.append(spans[parent.span_id])
        assert [span.name for span in reversed(upwards)] == chain
        assert {span.context.trace_id for span in spans.values()} == {int(TRACE_ID, 16)}
        assert passed.attributes["coreface.pass.sets"] == 1
        for name, parent in (("store get", request), ("wait", None), ("queue", upwards[2]), ("reply", upwards[2])):
            for span in by_name(exporter, name):
                assert parent is None or span.parent.span_id == parent.context.span_id
            assert by_name(exporter, name)
        assert [span.attributes["coreface.set.samples"] for span in by_name(exporter, "set")] == [2, 2]
        assert upwards[2].attributes["coreface.set.outcome"] == "answered"


async def test_a_pass_for_several_sets_is_in_the_trace_of_each_with_links_to_the_others(
    valkey_url: str, exporter: InMemorySpanExporter, tmp_path: Path
) -> None:
    traces = [f"00-{number:032x}-{'b2' * 8}-01" for number in (1, 2, 3)]
    async with running_rig(valkey_url, processor := FakeProcessor()) as rig:
        gate = tmp_path / "open"
        held = asyncio.create_task(rig.ask(f"wait:{gate}", traceparent=traces[0]))
        await until(lambda: processor.batches)
        waiting = [asyncio.create_task(rig.ask("face", traceparent=trace)) for trace in traces[1:]]
        await until(lambda: processor.stage.jobs and len(processor.stage.jobs) == 2)
        gate.touch()
        await asyncio.gather(held, *waiting)
        await until(lambda: len(by_name(exporter, "all")) == 3)
    alone, *together = sorted(by_name(exporter, "all"), key=lambda span: span.context.trace_id)
    assert [link.context.trace_id for link in alone.links] == []
    assert [[link.context.trace_id for link in span.links] for span in together] == [[3], [2]]
    assert [span.attributes["coreface.pass.sets"] for span in together] == [2, 2]


async def test_what_fails_is_marked_without_a_word_of_what_it_was_given(
    valkey_url: str, exporter: InMemorySpanExporter
) -> None:
    async with running_rig(valkey_url, FakeProcessor()) as rig:
        with pytest.raises(Exception, match="told to fail"):
            await rig.ask("fail")
        failed = await one(exporter, "process set")
        assert (failed.status.status_code, failed.attributes["error.type"]) == (StatusCode.ERROR, "inference_failed")
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    for secret in (TEMPLATE_ID, "told to fail", "request-of-anna"):
        assert secret not in told


async def test_probes_leave_no_span(valkey_url: str, exporter: InMemorySpanExporter) -> None:
    async with running_rig(valkey_url, FakeProcessor()) as rig:
        await rig.ask("face", path="/health/ready")
    assert not [span for span in exporter.get_finished_spans() if span.kind is SpanKind.SERVER]


async def test_a_trace_that_is_not_sampled_is_recorded_nowhere(valkey_url: str, exporter: InMemorySpanExporter) -> None:
    async with running_rig(valkey_url, FakeProcessor()) as rig:
        await rig.ask("face", traceparent=ASKED[:-2] + "00")
    assert exporter.get_finished_spans() == ()


async def test_the_ids_of_the_request_stand_in_the_lines_of_the_worker(valkey_url: str) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with running_rig(valkey_url, FakeProcessor()) as rig:
            await rig.ask("face")
    (line,) = [line for line in logs if line["event"] == "set"]
    assert (line["request_id"], line["trace_id"], line["outcome"]) == ("request-of-anna", TRACE_ID, "answered")


async def test_without_a_tracer_nothing_is_recorded_and_the_trace_goes_on(valkey_url: str) -> None:
    async with running_rig(valkey_url, FakeProcessor()) as rig:
        await rig.ask("face")
    assert tracing.current_span().traceparent is None


@pytest.mark.parametrize(
    ("variables", "wanted", "obstacle"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "zipkin"}, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True, True),
    ],
)
def test_the_variables_of_opentelemetry_decide(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool, obstacle: bool
) -> None:
    monkeypatch.setattr(open_telemetry, "_CLOSE_TIMEOUT_S", 0.05)  # nobody takes what is sent
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = TelemetrySettings()
    assert (settings.is_wanted, settings.obstacle is not None) == (wanted, obstacle)
    with structlog.testing.capture_logs() as logs, tracing.exported_traces("test"), tracing.span("work") as span:
        assert (span.traceparent is not None) == (wanted and not obstacle)
    assert [line["event"] for line in logs] == (["traces_off"] if obstacle else [])


def test_without_the_extra_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "service.observability.open_telemetry", None)
    with structlog.testing.capture_logs() as logs, tracing.exported_traces("test"):
        assert tracing.current_span().traceparent is None
    assert [line["event"] for line in logs] == ["traces_off"]
