from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from service.api.client_address import UNKNOWN, client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

trusted_addresses = st.ip_addresses(v=4, network="10.0.0.0/8").map(str) | st.ip_addresses(v=6, network="fd00::/8").map(
    str
)
strangers = st.ip_addresses(v=4).map(str).filter(lambda text: not text.startswith("10."))
anything = st.text(st.characters(codec="latin-1", exclude_characters=","), max_size=20) | strangers | trusted_addresses


def scope(peer: str | None, *forwarded: str) -> Scope:
    """`forwarded`: one field each."""
    headers = [(b"host", b"localhost"), *((b"x-forwarded-for", field.encode("latin-1")) for field in forwarded)]
    return {"type": "http", "client": None if peer is None else (peer, 1234), "headers": headers}


@given(st.ip_addresses().map(str), st.lists(anything, max_size=5))
def test_without_trusted_hops_nobody_is_believed(peer: str, forwarded: list[str]) -> None:
    asked = scope(peer, *forwarded)
    assert client_address(asked, ()) == client_address(scope(peer), ())


@given(strangers, st.lists(anything, max_size=5))
def test_a_stranger_is_not_believed(peer: str, forwarded: list[str]) -> None:
    assert client_address(scope(peer, ", ".join(forwarded)), TRUSTED) == peer


@given(strangers, st.lists(anything, max_size=5), st.lists(trusted_addresses, min_size=1, max_size=4), st.data())
def test_the_last_stranger_before_trusted_hops_is_the_client_whatever_he_wrote(
    client: str, written: list[str], hops: list[str], data: st.DataObject
) -> None:
    *between, peer = hops
    entries = [*written, client, *between]
    cut = data.draw(st.integers(0, len(entries)), "where one field ends and the next begins")
    fields = [", ".join(part) for part in (entries[:cut], entries[cut:]) if part]
    assert client_address(scope(peer, *fields), TRUSTED) == client


@given(st.lists(trusted_addresses, min_size=1, max_size=5))
def test_of_trusted_hops_alone_it_is_the_farthest(hops: list[str]) -> None:
    *between, peer = hops
    assert client_address(scope(peer, ",".join(between)), TRUSTED) == str(ip_address(hops[0]))


@given(
    trusted_addresses, st.lists(anything, max_size=4), st.sampled_from(["unknown", "", "999.1.1.1", "_hidden", "<b>"])
)
def test_what_is_no_address_ends_the_reading(peer: str, written: list[str], nonsense: str) -> None:
    assert client_address(scope(peer, ", ".join([*written, nonsense])), TRUSTED) == str(ip_address(peer))


@given(st.ip_addresses() | st.none(), st.lists(anything, max_size=5), st.booleans())
def test_the_answer_is_an_address_or_unknown(peer: object, forwarded: list[str], trusting: bool) -> None:
    answer = client_address(scope(None if peer is None else str(peer), *forwarded), TRUSTED if trusting else ())
    assert answer == UNKNOWN if peer is None else str(ip_address(answer)) == answer


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("  192.0.2.1  ", "192.0.2.1"),
    ],
)
def test_addresses_are_read_as_hops_write_them(entry: str, address: str) -> None:
    assert client_address(scope("10.1.1.1", entry), TRUSTED) == address


def test_a_peer_is_an_ipv4_one_inside_ipv6_too() -> None:
    asked = scope("::ffff:10.0.0.1", "192.0.2.1")
    assert client_address(asked, [IPv4Network("10.0.0.0/8")]) == str(IPv4Address("192.0.2.1"))


@pytest.mark.parametrize("peer", [None, "", "/run/coreface.sock"])
def test_a_client_without_an_address_is_unknown(peer: str | None) -> None:
    assert client_address(scope(peer, "192.0.2.1"), TRUSTED) == UNKNOWN
