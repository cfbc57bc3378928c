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
    """`member` is the process. Tests look behind the scenes, and break rules, as `admin`."""

    def __init__(self, directory: Path, port: int, max_memory: str) -> None:
        binary = shutil.which("redis-server")
        assert binary is not None, "redis-server is not installed"
        password, admin_password = secrets.token_hex(16), secrets.token_hex(16)
        self.url = f"redis://coreface:{password}@127.0.0.1:{port}/0"
        self._admin_url = f"redis://admin:{admin_password}@127.0.0.1:{port}/0"
        directory.mkdir()
        users = directory / "users.acl"
        users.write_text(f"{compose_users(password)}user admin on >{admin_password} ~* &* +@all\n")
        command = [
            *(binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--aclfile", str(users)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory", max_memory, "--maxmemory-policy", "noeviction"),
        ]
        self.member = Member("store", command, {}, directory / "log", self._answers)

    def admin(self) -> Redis:
        """A blocking client that may do anything."""
        return Redis.from_url(self._admin_url, socket_timeout=5.0)

    def _answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except RedisError:
            return False
