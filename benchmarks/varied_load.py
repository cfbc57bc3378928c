"""A day in minutes: clients of several kinds, a rush, guessing, hostile bytes, a worker that dies, a store that stands
still, an API that is asked for what is not there."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.pictures import read_pictures

_TIMEOUT_S = 40.0
_MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to the service, for the picture."""

    at: float
    """Unix seconds."""
    what: str


@dataclass
class Site:
    """The service under load, and what its clients know."""

    url: str
    pid: int
    key: str
    poor_key: str
    """One with few images a day."""
    people: Sequence[Sequence[bytes]]
    """Pictures by person."""
    faceless: Sequence[bytes]
    kept: list[tuple[int, str]] = field(default_factory=list)
    """Person and template id."""
    events: list[Event] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.events.append(Event(time.time(), what))

    def children(self, word: str) -> list[int]:
        """Process ids of the service's children whose command holds this word, the last one started last."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if parent == self.pid and word in command:
                    found.append(int(entry.name))
        return sorted(found)


def read_people(directory: Path, most: int) -> list[list[bytes]]:
    """Pictures of those below `directory` who have several, one folder each."""
    folders = [
        folder for folder in sorted(directory.iterdir()) if folder.is_dir() and len(list(folder.iterdir())) >= 10
    ]
    return [read_pictures(folder, 20) for folder in folders[:most]]


def run_day(site: Site, seconds: float) -> None:
    """Put the load on, and do to the service what is done to one, over so many seconds."""
    began = time.monotonic()

    def wait_until(share: float) -> None:
        time.sleep(max(0.0, began + share * seconds - time.monotonic()))

    with _clients(site, _enrol, 2, pause_s=0.5), _clients(site, _verify, 2, pause_s=0.15):
        wait_until(0.12)
        site.note("odd requests")
        with _clients(site, _send_odd_things, 2, pause_s=0.2):
            wait_until(0.25)
        site.note("guessing")
        with _clients(site, _guess, 2, pause_s=0.2):
            wait_until(0.37)
        site.note("rush")
        with _clients(site, _rush, 40, pause_s=0.05):
            wait_until(0.5)
            site.note("worker killed")
            os.kill(site.children(" worker")[-1], signal.SIGKILL)
            wait_until(0.62)
        site.note("rush over")
        wait_until(0.78)
        (store,) = site.children("valkey")
        site.note("store stopped")
        os.kill(store, signal.SIGSTOP)
        wait_until(0.87)
        os.kill(store, signal.SIGCONT)
        site.note("store goes on")
        wait_until(1.0)


Act = Callable[[Site, httpx.Client, random.Random], None]


@contextmanager
def _clients(site: Site, act: Act, count: int, *, pause_s: float) -> Iterator[None]:
    """So many of them do it again and again, in threads, until the body ends."""
    ending = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(base_url=site.url, timeout=_TIMEOUT_S, headers=_authorised(site.key)) as client:
            while not ending.wait(pause_s * chance.uniform(0.5, 1.5)):
                try:
                    act(site, client, chance)
                except httpx.TransportError:
                    continue  # it is what some of this is about

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def _authorised(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _files(samples: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("samples", ("sample", sample, "application/octet-stream")) for sample in samples]


def _enrol(site: Site, client: httpx.Client, chance: random.Random) -> None:
    person = chance.randrange(len(site.people))
    # Of few pictures, so that samples come again and some sets do.
    samples = chance.sample(site.people[person][:6], chance.randint(1, 4))
    answer = client.post("/v1/templates", files=_files(samples))
    if answer.is_success:
        site.kept.append((person, answer.json()["template_id"]))
        del site.kept[:-_MOST_KEPT]


def _verify(site: Site, client: httpx.Client, chance: random.Random) -> None:
    if len(site.kept) < 2:
        return
    person, reference = chance.choice(site.kept)
    mated = [template_id for other, template_id in site.kept if other == person and template_id != reference]
    others = [template_id for other, template_id in site.kept if other != person]
    # Many comparisons are of two people, and go over the route that locks nobody out.
    if chance.random() < 0.3 and others:
        # Now and then one of them is gone.
        probes = [*chance.choices(others, k=5), *(["A" * 22] if chance.random() < 0.1 else [])]
        pairs = [{"reference": reference, "probe": probe} for probe in probes]
        client.post("/v1/verify/batch", json={"pairs": pairs})
    elif mated:
        point = chance.choice(["fmr_1e-4", "fmr_1e-4", "fmr_1e-3"])
        sides = {"reference": {"template_id": reference}, "probe": {"template_id": chance.choice(mated)}}
        client.post("/v1/verify", json={**sides, "operating_point": point})


def _rush(site: Site, client: httpx.Client, chance: random.Random) -> None:
    """Sets that nobody sent before: decoders ignore what stands behind the end of a picture."""
    people = chance.choice(site.people)
    client.post("/v1/templates", files=_files([sample + chance.randbytes(8) for sample in chance.sample(people, 8)]))


def _guess(site: Site, client: httpx.Client, chance: random.Random) -> None:
    person, reference = site.kept[0]
    strangers = [template_id for other, template_id in site.kept if other != person]
    if strangers:
        sides = {"reference": {"template_id": reference}, "probe": {"template_id": chance.choice(strangers)}}
        client.post("/v1/verify", json=sides)


def _send_odd_things(site: Site, client: httpx.Client, chance: random.Random) -> None:
    face = chance.choice(site.people[0])
    match chance.randrange(7):
        case 0:
            client.post("/v1/templates", files=_files([chance.choice(site.faceless), face + chance.randbytes(8)]))
        case 1:
            client.post("/v1/templates", files=_files([face[: len(face) // 3], b"GIF89a" + chance.randbytes(64)]))
        case 2:
            client.get("/v1/templates/" + "A" * 22)
        case 3:
            client.post("/v1/verify", json={"reference": {}})
        case 4:
            samples = _files([face + chance.randbytes(8)])
            client.post("/v1/templates", files=samples, headers=_authorised(site.poor_key))
        case 5:
            client.get("/v1/packs", headers=_authorised("cf_0_0"))
        case _:
            address = urlsplit(site.url)
            with socket.create_connection((address.hostname, address.port), 5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
                connection.recv(4096)
