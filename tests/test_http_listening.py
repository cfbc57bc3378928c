from __future__ import annotations

import resource
import socket
from collections.abc import Iterator

import pytest

from service.errors import SetupError
from service.http_listening import allow_open_files, open_listener


def test_connections_send_at_once() -> None:
    # asyncio sets TCP_NODELAY where the listening socket names its protocol.
    with (
        open_listener("127.0.0.1", 0, who="It", remedy="") as listener,
        socket.create_connection(listener.getsockname()),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_told_with_its_remedy() -> None:
    with open_listener("127.0.0.1", 0, who="It", remedy="") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SetupError) as refused:
            open_listener("127.0.0.1", port, who="The worker", remedy="Choose another.")
    assert (
        refused.value.detail == f"The worker cannot listen on 127.0.0.1:{port}: Address already in use. Choose another."
    )


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(SetupError, match=r"The API cannot listen on 192\.0\.2\.1:0: "):
        open_listener("192.0.2.1", 0, who="The API", remedy="")


@pytest.fixture
def few_files() -> Iterator[int]:
    """This process may have few open files, unless it asks for more; how many it may have at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_open_files_are_asked_for_as_connections_need_them(few_files: int) -> None:
    allow_open_files(100)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024
    allow_open_files(1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 1250 <= soft < 2000
    assert hard == few_files


def test_connections_that_the_system_does_not_allow_are_told_with_the_remedy(few_files: int) -> None:
    if few_files == resource.RLIM_INFINITY:
        pytest.skip("this system allows any number of open files")
    with pytest.raises(SetupError, match="COREFACE_LIMITS__MAX_CONNECTIONS"):
        allow_open_files(few_files)
