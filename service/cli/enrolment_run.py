"""Sends many sets to a service, a few at once, and keeps what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from service.cli.enrolment_results import EnrolmentResults, set_signature
from service.cli.sample_sets import SampleSet, read_file
from service.cli.service_connection import Answer, ServiceConnection, ServiceProblemError
from service.cli.terminal import ProgressUpdate
from service.errors import SetupError

_UNREADABLE = "unreadable_file"


class EnrolmentRun:
    """One run over some sets. Counts what is done, also of a run that was interrupted."""

    def __init__(
        self,
        sets: Sequence[SampleSet],
        policies: Mapping[str, str],
        results: EnrolmentResults | None,
        *,
        concurrency: int,
        with_sealed: bool,
        update: ProgressUpdate,
    ) -> None:
        """`results`: takes every entry as it is done; without it all are held in `entries`. `with_sealed`: ask for
        sealed templates."""
        self.total = len(sets)
        self.enrolled = self.failed = self.left_out = 0
        self.entries: list[Answer] = [] if results is not None else [{} for _ in sets]
        """In the order of the sets."""
        self._sets = sets
        self._policies = policies
        self._results = results
        self._concurrency = concurrency
        self._include = ["sealed_template"] if with_sealed else []
        self._update = update

    async def run(self, connection: AbstractAsyncContextManager[ServiceConnection]) -> None:
        """Raises `SetupError` where there is no service, or no more."""
        async with connection as service:
            self._tell()
            waiting = enumerate(self._sets)
            # A group would wrap the one error that tells what to do.
            tasks = [asyncio.ensure_future(self._work(service, waiting)) for _ in range(self._concurrency)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, service: ServiceConnection, waiting: Iterator[tuple[int, SampleSet]]) -> None:
        for place, sample_set in waiting:
            signature = set_signature(sample_set, self._policies)
            if self._results is not None and self._results.has_template_of(signature):
                self.left_out += 1
            else:
                entry = await self._enrol(service, sample_set)
                self._count(place, entry, signature)
            self._tell()

    async def _enrol(self, service: ServiceConnection, sample_set: SampleSet) -> Answer:
        entry: Answer = {"name": sample_set.name, "files": [str(path) for path in sample_set.files]}
        samples, unreadable = await asyncio.to_thread(_read, sample_set.files)
        if unreadable:
            # Half a set would be another set than was asked for.
            details = [f"{path}: {reason}" for path, reason in unreadable.items()]
            return entry | {"error": {"code": _UNREADABLE, "detail": " ".join(details)}}
        try:
            return entry | await service.enrol(samples, self._policies, self._include)
        except ServiceProblemError as error:
            return entry | {"error": error.problem}

    def _count(self, place: int, entry: Answer, signature: str) -> None:
        if "error" in entry:
            self.failed += 1
        else:
            self.enrolled += 1
        if self._results is None:
            self.entries[place] = entry
        else:
            self._results.add(entry, signature)

    def _tell(self) -> None:
        done = self.enrolled + self.failed + self.left_out
        failed = f", {self.failed} failed" if self.failed else ""
        self._update(f"{done} of {self.total} sets{failed}", done / self.total)


def _read(files: Sequence[Path]) -> tuple[list[bytes], dict[str, str]]:
    """The files' bytes, and why some have none."""
    samples: list[bytes] = []
    unreadable: dict[str, str] = {}
    for path in files:
        try:
            samples.append(read_file(path))
        except SetupError as error:
            unreadable[str(path)] = error.detail
    return samples, unreadable
