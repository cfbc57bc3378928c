"""What is to be said of a running service, and what to do where something is wrong. No I/O: others asked.

`failing`: something does not work now. `warning`: it will not for long, or not for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.api.answers import CheckName, HealthStatus
from service.conditions import EngineStatus, StoreCondition
from service.runtime.pack import Pack

SLOW_STORE_S = 0.1
FULL_SHARE = 0.9
"""Of the store's memory."""
MOST_SKEW_S = 2.0
LATE_SHARE = 0.5
"""Of the time for one template."""

_STORE_REMEDY = (
    "Look at the server behind COREFACE_REDIS_URL: does it run, can it be reached from here, is it full (maxmemory, "
    "disk), is it a replica, is its maxmemory-policy noeviction? Vectors and sealed templates still verify."
)
_ENGINE_REMEDY = (
    "Start a worker for this very pack (`coreface worker`). Where some run, their logs and their /health/ready say why "
    "they take no sets."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence on one part, for an operator."""

    name: CheckName
    status: HealthStatus
    detail: str
    remedy: str | None = None
    """What to do; None where there is nothing to do."""


def stopping_finding() -> Finding:
    return Finding(
        "process", "failing", "It is stopping; send work to another one.", "Nothing: another one takes over."
    )


def store_finding(condition: StoreCondition | str) -> Finding:
    """`condition`: why templates cannot be kept, where they cannot."""
    if isinstance(condition, str):
        return Finding("store", "failing", condition, _STORE_REMEDY)
    if not condition.saves:
        remedy = "Look at the store's log and disk, and do not restart it before it saves again."
        return Finding(
            "store", "warning", "The store cannot write to its disk: a restart would lose templates.", remedy
        )
    used = condition.used_bytes / condition.limit_bytes if condition.limit_bytes else 0.0
    if used > FULL_SHARE:
        remedy = "Raise its maxmemory, or shorten COREFACE_RETENTION__*; when it is full no template can be kept."
        return Finding("store", "warning", f"{used:.0%} of the store's memory is used.", remedy)
    if condition.latency_s > SLOW_STORE_S:
        remedy = "Look at the load of the store's machine, its slow log and the network between."
        return Finding("store", "warning", f"The store took {condition.latency_s:.2f} s to answer.", remedy)
    return Finding("store", "ok", "Templates can be kept.")


def engine_finding(status: EngineStatus | str) -> Finding:
    """`status`: why there is none, where there is none."""
    if isinstance(status, str):
        return Finding("engine", "failing", status, _ENGINE_REMEDY)
    return (
        Finding("engine", "ok", status.detail)
        if status.ready
        else Finding("engine", "failing", status.detail, _ENGINE_REMEDY)
    )


def pack_finding(pack: Pack) -> Finding:
    """The files were verified at start-up. A pack without a calibration still makes templates."""
    points = 0 if pack.calibration is None else len(pack.calibration.point_names)
    detail = f"{pack.name}, fingerprint {pack.fingerprint}, {points} operating points."
    if points:
        return Finding("pack", "ok", detail)
    return Finding("pack", "warning", detail, "Without a calibration nothing is decided: run `coreface calibrate`.")


def further_findings(
    store: StoreCondition | str, engine: EngineStatus | str, version: str, time_limit_s: float
) -> Iterator[Finding]:
    """What does not decide whether work is sent here. `version`: of this process. `time_limit_s`: for one template."""
    members = () if isinstance(engine, str) else engine.members
    if not isinstance(engine, str):
        yield _workers_finding(engine, version)
        yield _queue_finding(engine, time_limit_s)
    others = sum(member.same_key is False for member in members)
    yield _key_finding(others, None if isinstance(store, str) else store.same_key)
    if not isinstance(store, str):
        yield _clock_finding(store.clock_skew_s)


def _workers_finding(engine: EngineStatus, version: str) -> Finding:
    versions = {version, *(member.version for member in engine.members)}
    if len(versions) > 1:
        detail = f"Processes have different versions: {', '.join(sorted(versions))}."
        return Finding("workers", "warning", detail, "Finish the update, or go back with all of them.")
    if len(engine.providers) > 1:
        detail = f"Workers run the model differently: {', '.join(engine.providers)}."
        remedy = "Fine where it is meant; else look at the logs of those on a CPU for why they have no GPU."
        return Finding("workers", "warning", detail, remedy)
    provider = engine.providers[0] if engine.providers else "nothing"
    return Finding("workers", "ok", f"{engine.workers} on {provider}, version {version}.")


def _queue_finding(engine: EngineStatus, time_limit_s: float) -> Finding:
    detail = (
        f"{engine.sets_waiting} sets wait here, {engine.sets_in_flight} are with workers, "
        f"the oldest for {engine.oldest_s:.1f} s."
    )
    if engine.oldest_s <= LATE_SHARE * time_limit_s:
        return Finding("queue", "ok", detail)
    remedy = "Add workers; where sets are with workers and none gets done, look at the workers' logs."
    return Finding("queue", "warning", detail, remedy)


def _key_finding(other_workers: int, same_as_last: bool | None) -> Finding:
    remedy = "Give every process the same COREFACE_SEALING_KEY (or key file), older keys behind it."
    if other_workers:
        return Finding("sealing_key", "failing", f"{other_workers} worker(s) have another sealing key.", remedy)
    if same_as_last is False:
        return Finding("sealing_key", "failing", "Another process at this store has another sealing key.", remedy)
    return Finding("sealing_key", "ok", "Every process that was heard of has the same sealing key.")


def _clock_finding(skew_s: float) -> Finding:
    if abs(skew_s) <= MOST_SKEW_S:
        return Finding("clock", "ok", f"Within {abs(skew_s):.2f} s of the store's.")
    which = "ahead of" if skew_s > 0 else "behind"
    detail = f"This machine's clock is {abs(skew_s):.1f} s {which} the store's."
    return Finding(
        "clock", "warning", detail, "Let both follow the same time server; sealed templates end by this one."
    )
