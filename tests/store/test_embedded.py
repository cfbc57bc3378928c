from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.errors import EmbeddedStoreError
from service.store import embedded
from service.store.embedded import EmbeddedValkey

PLENTY_S = 30.0

HOLD = """
import sys, time
from pathlib import Path
from service.store.embedded import EmbeddedValkey
valkey = EmbeddedValkey(Path(sys.argv[1]))
print(valkey.start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def valkey(short_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(short_path)
    yield server
    server.stop()


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a space and a quote in its name, short enough for a unix socket."""
    return tmp_path_factory.mktemp("a 'b\" c")


def _wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PLENTY_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_starts_safe_and_keeps_what_it_was_given(valkey: EmbeddedValkey, short_path: Path) -> None:
    url = valkey.start()
    assert url.startswith("unix://")
    with Redis.from_url(url) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        client.set("kept", "yes")
    for path in [short_path / "valkey", *(short_path / "valkey").iterdir()]:
        if path.name in ("valkey", "valkey.conf", "valkey.sock", "lock"):
            assert path.stat().st_mode & 0o077 == 0, path
    valkey.stop()
    assert not valkey.running
    assert valkey.start() == url
    with Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_a_killed_server_starts_again_at_the_same_place(valkey: EmbeddedValkey, short_path: Path) -> None:
    url = valkey.start()
    with Redis.from_url(url) as client:
        pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
    _wait_for(lambda: not valkey.running)
    assert (short_path / "valkey" / "valkey.sock").exists()  # stale
    assert valkey.start() == url


def test_a_second_one_on_the_same_state_is_refused_and_told_what_to_do(
    valkey: EmbeddedValkey, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOCK_TIMEOUT_S", 0.1)
    url = valkey.start()
    with pytest.raises(EmbeddedStoreError, match="COREFACE_STATE_DIR") as refusal:
        EmbeddedValkey(short_path).start()
    assert str(os.getpid()) in refusal.value.detail
    with Redis.from_url(url) as client:
        assert client.ping()


def test_a_path_too_long_for_a_socket_falls_back_to_loopback_with_a_password(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = EmbeddedValkey(deep)
    url = server.start()
    try:
        assert url.startswith("redis://:")
        assert "@127.0.0.1:" in url
        with Redis.from_url(url) as client:
            assert client.ping()
        password = url.split(":")[2].split("@")[0]
        assert len(password) >= 32
        assert (deep / "valkey" / "valkey.conf").stat().st_mode & 0o777 == 0o600
        probe = Redis(port=int(url.rsplit(":", 1)[1].split("/")[0]))
        with probe, pytest.raises(Exception, match=r"[Aa]uth"):
            probe.ping()
    finally:
        server.stop()


def test_the_server_dies_with_a_parent_that_is_killed(short_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(short_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        url = holder.stdout.readline().strip()
    with Redis.from_url(url) as client:
        client.set("kept", "yes")
        pid = client.info("server")["process_id"]
    holder.kill()
    holder.wait()
    # The next one starts at once: it waits for the orphan to end, and finds its data.
    server = EmbeddedValkey(short_path)
    server.start()
    try:
        with Redis.from_url(server.url) as client:
            assert client.info("server")["process_id"] != pid
            assert client.get("kept") == b"yes"
    finally:
        server.stop()


def test_a_server_that_cannot_read_its_data_says_why(valkey: EmbeddedValkey, short_path: Path) -> None:
    with Redis.from_url(valkey.start()) as client:
        client.set("kept", "yes")
    valkey.stop()
    for path in (short_path / "valkey" / "appendonlydir").glob("*.incr.aof"):
        path.write_bytes(b"*damaged\r\n" + path.read_bytes())
    with pytest.raises(EmbeddedStoreError, match=r"[Bb]ad file format"):
        valkey.start()
    assert not valkey.running


def test_leftovers_of_the_job_stream_are_rewritten_away(valkey: EmbeddedValkey, short_path: Path) -> None:
    with Redis.from_url(valkey.start()) as client:
        assert client.config_get("auto-aof-rewrite-*") == {
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": str(128 * 2**20),
        }
        client.config_set("auto-aof-rewrite-min-size", "1mb")
        client.set("kept", "yes")
        for _ in range(40):
            entry = client.xadd("jobs", {"p": os.urandom(200_000)})
            client.xdel("jobs", entry)

        def shrunk() -> bool:
            try:
                files = (short_path / "valkey" / "appendonlydir").iterdir()
                return sum(path.stat().st_size for path in files) < 4_000_000
            except FileNotFoundError:  # the server renamed one in between
                return False

        _wait_for(shrunk)
        assert client.get("kept") == b"yes"
