from __future__ import annotations

import socket

import pytest

from service.errors import SetupError
from service.http_listening import open_listener


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
