from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.http_parsing import AmbiguousHeadError, StrictConnection, refuse_ambiguous_head
from tests.api.smuggling import BAD_HOSTS, OLD_OR_UNKNOWN, SMUGGLED

names = st.from_regex(r"X-[A-Za-z0-9-]{1,20}", fullmatch=True)
values = st.from_regex(r"[!-~]([ -~]{0,40}[!-~])?", fullmatch=True)
hosts = st.sampled_from(
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[2001:db8::1]:8443", "a_b"]
)
targets = st.from_regex(r"/[!-~]{0,40}", fullmatch=True)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Those of requests as clients send them."""
    fields = [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(names, values), max_size=5))]
    fields.insert(draw(st.integers(0, len(fields))), f"Host: {draw(hosts)}")
    length = draw(st.sampled_from(["", "Content-Length: 12", "Transfer-Encoding: chunked"]))
    version = "1.1" if length.startswith("T") else draw(st.sampled_from(["1.0", "1.1"]))
    lines = [f"{draw(st.sampled_from(['GET', 'POST']))} {draw(targets)} HTTP/{version}", *fields]
    return "\r\n".join([*lines, *filter(None, [length]), "", ""]).encode()


def events(sent: bytes, piece: int) -> list[object]:
    """What a connection sees in bytes that come in pieces of this size."""
    connection = StrictConnection(h11.SERVER)
    seen: list[object] = []
    for start in range(0, len(sent), piece):
        connection.receive_data(sent[start : start + piece])
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            seen.append(event)
    return seen


@given(heads(), st.integers(1, 200))
def test_requests_as_clients_send_them_are_read(head: bytes, piece: int) -> None:
    refuse_ambiguous_head(head)
    assert isinstance(events(head, piece)[0], h11.Request)


@given(
    heads(), st.sampled_from([b"\n", b"\r", b"\r\n ", b"\x00", b"\x7f", b"\r\nHost: a", b"\r\nContent-Length: 1, 1"])
)
def test_one_disturbance_anywhere_in_its_fields_is_refused(head: bytes, disturbance: bytes) -> None:
    for place in range(head.index(b"\r\n"), len(head) - 3):
        if head[place - 1 : place] == b"\n":
            continue  # at the begin of a line it may be the end of the head, and what follows another matter
        disturbed = head[:place] + disturbance + head[place:]
        with pytest.raises(h11.RemoteProtocolError):
            events(disturbed + b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", 1000)


@pytest.mark.parametrize("sent", BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_a_bad_host_or_target_is_refused(sent: bytes) -> None:
    with pytest.raises(AmbiguousHeadError):
        refuse_ambiguous_head(sent)


@pytest.mark.parametrize("sent", OLD_OR_UNKNOWN.values(), ids=OLD_OR_UNKNOWN)
def test_what_is_not_http_1_is_refused(sent: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        events(sent, 1000)


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_a_request_of_two_readings_is_refused_however_it_comes(sent: bytes, piece: int) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        events(sent, piece)


def test_a_refusal_tells_nothing_of_the_request() -> None:
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization\r\n\r\n", b"GET secret HTTP/1.1\r\nHost: x\r\n\r\n"):
        connection = StrictConnection(h11.SERVER)
        connection.receive_data(sent)
        with pytest.raises(h11.RemoteProtocolError):
            connection.next_event()
        assert connection.refusal is not None
        assert connection.refusal.status == 400
        assert not {"secret", "Authorization"} & set(connection.refusal.detail.split())
