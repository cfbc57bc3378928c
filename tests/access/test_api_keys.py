from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.api_keys import ApiKey, Pepper, Token, new_api_key, rotated
from service.access.callers import Caller, Scope

RING = (bytes(range(32)),)
NEWER = (bytes(32), *RING)


def made(expires_at: float | None = None, ring: tuple[bytes, ...] = RING) -> tuple[ApiKey, Token]:
    return new_api_key(
        Pepper(ring),
        name="door",
        tenant="acme",
        scopes=frozenset({Scope.VERIFY}),
        images_per_day=5,
        expires_at=expires_at,
        now=100.0,
    )


def test_a_key_says_who_asks_and_proves_itself() -> None:
    key, token = made()
    assert Token.parse(token.text) == token
    assert token.key_id == key.key_id
    assert key.caller == Caller("acme", key.key_id, frozenset({Scope.VERIFY}), 5)
    assert Pepper(RING).is_secret_of(token, key.secrets, 100.0)


def test_secrets_are_long_and_never_the_same_and_none_is_kept_or_shown() -> None:
    tokens = {made()[1].secret for _ in range(100)}
    assert len(tokens) == 100
    key, token = made()
    assert len(token.secret) == 43  # 256 bits
    assert token.secret not in repr(key) and token.secret not in repr(token)
    assert token.secret.encode() not in key.secrets[0].digest


def test_another_secret_is_no_secret_of_it() -> None:
    key, token = made()
    for other in (made()[1].secret, token.secret[::-1], "A" * 43):
        assert not Pepper(RING).is_secret_of(Token(key.key_id, other), key.secrets, 100.0)


def test_a_copy_of_the_store_verifies_nothing_without_the_ring() -> None:
    key, token = made()
    assert not Pepper((bytes(32),)).is_secret_of(token, key.secrets, 100.0)


def test_keys_outlive_a_rotation_of_the_ring() -> None:
    key, token = made()
    assert Pepper(NEWER).is_secret_of(token, key.secrets, 100.0)
    newer, newer_token = made(ring=NEWER)
    assert Pepper(NEWER).is_secret_of(newer_token, newer.secrets, 100.0)
    assert not Pepper(RING).is_secret_of(newer_token, newer.secrets, 100.0)


def test_a_rotated_key_has_two_secrets_for_a_while() -> None:
    pepper = Pepper(RING)
    key, first = made()
    key, second = rotated(key, pepper, overlap_s=10.0, now=200.0)
    assert (second.key_id, key.name, key.created_at) == (first.key_id, "door", 100.0)
    assert pepper.is_secret_of(second, key.secrets, 1e9)
    assert pepper.is_secret_of(first, key.secrets, 209.9)
    assert not pepper.is_secret_of(first, key.secrets, 210.0)
    key, third = rotated(key, pepper, overlap_s=10.0, now=205.0)
    assert [pepper.is_secret_of(token, key.secrets, 206.0) for token in (first, second, third)] == [False, True, True]
    key, fourth = rotated(key, pepper, overlap_s=0.0, now=206.0)
    assert [pepper.is_secret_of(token, key.secrets, 206.0) for token in (third, fourth)] == [False, True]


def test_a_key_lives_until_it_expires() -> None:
    key, _ = made(expires_at=200.0)
    assert [key.is_live(now) for now in (100.0, 199.9, 200.0)] == [True, True, False]
    assert dataclasses.replace(key, expires_at=None).is_live(1e12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cf_",
        "cf_0123456789",
        "cf_0123456789_",
        "xx_0123456789_" + "a" * 43,
        "cf_0123456789_" + "a" * 44,
        "cf_ABCDEF0123_" + "a" * 43,
        "cf_0123456789_" + "a" * 42 + "!",
        " cf_0123456789_" + "a" * 43,
    ],
)
def test_what_is_no_key_by_its_form(text: str) -> None:
    assert Token.parse(text) is None


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    token = Token.parse(text)
    assert token is None or token.text == text
