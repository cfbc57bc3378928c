"""The Redis server of a cluster: durable, bounded, and open to whom docker-compose.yml lets in."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

import yaml
from redis import Redis
from redis.exceptions import RedisError

from tests.cluster.members import Member

_COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"


def compose_users(password: str) -> str:
    """The access rules of docker-compose.yml, filled in."""
    content: str = yaml.safe_load(_COMPOSE_FILE.read_text())["configs"]["store-users"]["content"]
    return re.sub(r"\$\{COREFACE_REDIS_PASSWORD[^}]*\}", password, content)


class StoreServer:
    """`member` is the process. Tests look behind the scenes, and break rules, as `admin`.

    `certificates`: folder of `server.crt`, `server.key` and the `ca.crt` that signed them; with it the server speaks
    TLS alone.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        max_memory: str = "256mb",
        fsync: str = "everysec",
        certificates: Path | None = None,
    ) -> None:
        binary = shutil.which("redis-server")
        assert binary is not None, "redis-server is not installed"
        password, admin_password = secrets.token_hex(16), secrets.token_hex(16)
        scheme, query = (
            ("redis", "") if certificates is None else ("rediss", f"?ssl_ca_certs={certificates / 'ca.crt'}")
        )
        self.port = port
        self.url = f"{scheme}://coreface:{password}@127.0.0.1:{port}/0{query}"
        self._open_url = f"{scheme}://127.0.0.1:{port}/0{query}"
        self._admin_url = f"{scheme}://admin:{admin_password}@127.0.0.1:{port}/0{query}"
        directory.mkdir()
        users = directory / "users.acl"
        users.write_text(f"{compose_users(password)}user admin on >{admin_password} ~* &* +@all\n")
        command = [
            *(binary, "--bind", "127.0.0.1", "--dir", str(directory), "--aclfile", str(users)),
            *(("--port", str(port)) if certificates is None else _with_tls(port, certificates)),
            *("--appendonly", "yes", "--appendfsync", fsync, "--save", ""),
            *("--maxmemory", max_memory, "--maxmemory-policy", "noeviction"),
        ]
        self.member = Member("store", command, {}, directory / "log", self._answers)

    def stranger(self) -> Redis:
        """A client that has no name and no password."""
        return Redis.from_url(self._open_url, socket_timeout=5.0)

    def admin(self) -> Redis:
        """A blocking client that may do anything."""
        return Redis.from_url(self._admin_url, socket_timeout=5.0)

    def _answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except RedisError:
            return False


def _with_tls(port: int, certificates: Path) -> tuple[str, ...]:
    return (
        *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-ca-cert-file", str(certificates / "ca.crt")),
        *("--tls-cert-file", str(certificates / "server.crt"), "--tls-key-file", str(certificates / "server.key")),
    )
