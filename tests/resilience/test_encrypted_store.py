"""A store that speaks TLS alone, and to a user with the least of rights."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.resilience.clients import CanaryClients
from tests.resilience.site import Site

OPENSSL = shutil.which("openssl")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority of one's own, and a server of 127.0.0.1 that it knows."""
    if OPENSSL is None:
        pytest.skip("openssl not installed")
    folder = tmp_path / "certificates"
    folder.mkdir()
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")

    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt",
        "req -newkey rsa:2048 -nodes -subj /CN=store -keyout server.key -out server.csr",
        "x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt",
    ):
        subprocess.run([OPENSSL, *words.split()], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_set_goes_through_a_store_with_tls_and_least_rights(
    tmp_path: Path, certificates: Path, default_pack_path: Path
) -> None:
    with Site(tmp_path, apis=1, workers=1, certificates=certificates) as site:
        assert site.store_url.startswith("rediss://coreface:")
        with CanaryClients(site.url, senders=2, retry=False, compared=1) as clients:
            clients.wait_for(20)
        assert clients.failures == []
        with site.store_admin() as admin:
            # How a connection names its library, to servers that know of it; a refusal is ignored.
            assert {entry["object"] for entry in admin.acl_log()} <= {"client|setinfo"}
        _assert_refused(site.store_url.replace("rediss://", "redis://").partition("?")[0])
        _assert_refused(site.store_url.partition("?")[0])  # an authority that nobody here knows
        site.store.restart()
        with CanaryClients(site.url, senders=2, compared=1) as clients:
            clients.wait_for(20)
        assert clients.failures == []


def _assert_refused(url: str) -> None:
    with Redis.from_url(url, socket_timeout=5.0) as client, pytest.raises(RedisError):
        client.ping()
