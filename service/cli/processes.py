"""`coreface serve`, `api`, `worker` and `openapi`: the processes of a service."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.operator_settings import read_settings
from service.cli.terminal import Terminal
from service.errors import SetupError

if TYPE_CHECKING:
    from service.settings import Settings

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (to recognise them)

_READY_S = 60.0
"""How long `serve` waits for its processes."""
_READY_WITH_TENSORRT_S = 1800.0
"""At the first start TensorRT builds engines for minutes."""

_ADMISSION = {
    "loopback": "no API key is needed, so only this machine can reach it (COREFACE_AUTH)",
    "keys": "every request needs an API key: `coreface keys create --name NAME`",
    "gateway": "no API key is needed: whatever stands in front of it must let only its own in (COREFACE_AUTH)",
}

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on (COREFACE_HOST).")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on (COREFACE_PORT).")]
WorkerPort = Annotated[int | None, typer.Option("--port", help="Port for health checks (COREFACE_WORKER_PORT).")]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes (COREFACE_WORKERS).")]


def serve(host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Run a whole service on this machine: store, workers and API. The first time it installs the default pack."""
    from service.access.exposure import check_exposure
    from service.settings import EngineKind, Runtime
    from service.store.embedded import EmbeddedValkey
    from service.supervision import ChildPlan, Supervisor

    settings = read_settings(host=host, port=port, workers=workers)
    check_exposure(settings)
    _require_pack(settings)  # Its error is told better here than by three children.
    url = _url(settings)
    _report(f"this service will answer on {url} (documentation: {_url(settings, settings.admin_port)}/docs)")
    _report(_ADMISSION[settings.auth.value])
    # -P: a folder `service` where the operator happens to be must not be taken for this one.
    program = (sys.executable, "-P", "-m", "service")
    worker_count = 0 if settings.engine is EngineKind.LOCAL else settings.workers
    supervisor = Supervisor(
        api=ChildPlan("api", (*program, "api", "--host", settings.host, "--port", str(settings.port))),
        workers=[
            ChildPlan(f"worker {number}", (*program, "worker", *_worker_address(settings, number)))
            for number in range(1, worker_count + 1)
        ],
        environment=os.environ,
        store=EmbeddedValkey(settings.state_path) if settings.redis_url is None else None,
        ready_url=f"{url}/health/ready",
        ready_timeout_s=_READY_WITH_TENSORRT_S if settings.runtime is Runtime.TENSORRT else _READY_S,
        drain_delay_s=settings.drain_delay_s,
        request_timeout_s=settings.limits.request_timeout_s,
        report=_report,
    )
    raise typer.Exit(supervisor.run())


def _require_pack(settings: Settings) -> None:
    """Whole and readable. The default one, whose weights everybody may use, is installed where it is missing."""
    from service.errors import PackNotInstalledError
    from service.runtime.pack import load_pack

    path = settings.packs_path / settings.pack
    try:
        load_pack(path, settings.calibration_path)
    except PackNotInstalledError:
        if settings.pack != type(settings).model_fields["pack"].default:
            raise
        from service.packs.installation import install_pack

        _report(f"pack {settings.pack} is installed in {path}, this once")
        with Terminal(as_json=False).progress(f"installing {settings.pack}") as update:
            install_pack(settings.pack, settings.packs_path, progress=update)
        load_pack(path, settings.calibration_path)


def api(host: Host = None, port: Port = None) -> None:
    """Run one API process. It needs COREFACE_REDIS_URL and, somewhere, a worker."""
    with _as_child():
        settings = read_settings(host=host, port=port)
        _log_to_stderr(settings)
        _limit_decoders(settings)
        _run_api(settings)


def worker(host: Host = None, port: WorkerPort = None) -> None:
    """Run one worker process. It needs COREFACE_REDIS_URL."""
    with _as_child():
        settings = read_settings(host=host, worker_port=port)
        _log_to_stderr(settings)
        _limit_decoders(settings)
        from service.engine.worker import run_worker
        from service.observability.tracing import exported_traces

        with exported_traces("coreface-worker"):
            asyncio.run(run_worker(settings))


def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from service.api.application import describe_api

    Terminal(as_json=True).show_json(describe_api())


def _limit_decoders(settings: Settings) -> None:
    """Before anything imports OpenCV, which looks at its environment once."""
    from service.policies import image_limits
    from service.vision.decoder_environment import decoder_environment

    os.environ.update(decoder_environment(image_limits(settings.limits)))


def _run_api(settings: Settings) -> None:
    from service.access.exposure import check_exposure
    from service.api.http_server import serve_http
    from service.app import create_app
    from service.http_listening import allow_open_files, open_listener
    from service.observability.tracing import exported_traces

    check_exposure(settings)
    application = create_app(settings)
    allow_open_files(settings.limits.max_connections)
    remedy = "Choose another --host or --port."
    admin_remedy = "Choose another COREFACE_ADMIN_PORT."
    with ExitStack() as stack:
        # The outermost: nobody is let in while the last spans are sent.
        stack.enter_context(exported_traces("coreface-api"))
        listeners = [
            stack.enter_context(open_listener(settings.host, port, who="The API", remedy=remedy))
            for port, remedy in ((settings.port, remedy), (settings.admin_port, admin_remedy))
            if port is not None
        ]
        asyncio.run(
            serve_http(
                application,
                listeners,
                drain_delay_s=settings.drain_delay_s,
                limits=settings.limits,
                admin_port=settings.admin_port,
            )
        )


def _worker_address(settings: Settings, number: int) -> tuple[str, ...]:
    """Options of the worker of this number, from 1."""
    if settings.worker_port is None:
        return ()
    return ("--host", settings.host, "--port", str(settings.worker_port + number - 1))


@contextmanager
def _as_child() -> Iterator[None]:
    """A supervisor does not start a process again that ends with this status."""
    from service.supervision import SETUP_FAILED

    try:
        yield
    except SetupError as error:
        Terminal(as_json=False).show_problem({"code": error.code, "detail": error.detail})
        raise typer.Exit(SETUP_FAILED) from error


def _url(settings: Settings, port: int | None = None) -> str:
    """`port`: another than that of the API."""
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port or settings.port}"


def _report(text: str) -> None:
    sys.stderr.write(f"coreface: {text}\n")


def _log_to_stderr(settings: Settings) -> None:
    from service.observability.logs import configure_logging

    try:
        configure_logging(settings.log_level)
    except ValueError as error:
        raise SetupError(str(error)) from error
