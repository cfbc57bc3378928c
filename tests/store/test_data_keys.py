from __future__ import annotations

import pytest

from service.store.data_keys import DataKey
from service.store.sealing import PayloadSealer, SealingPurpose, UnsealingError
from tests.store.samples import KEY

SEALER = PayloadSealer((KEY,), SealingPurpose.TEMPLATES)


def test_a_part_comes_back_as_what_it_is_alone() -> None:
    key = DataKey.new()
    sealed = key.seal(b"payload", "template")
    assert key.unseal(sealed, "template") == b"payload"
    assert key.seal(b"payload", "template") != sealed
    for wrong in (lambda: key.unseal(sealed, "material"), lambda: DataKey.new().unseal(sealed, "template")):
        with pytest.raises(UnsealingError):
            wrong()


def test_every_changed_byte_and_truncation_is_found() -> None:
    key = DataKey.new()
    sealed = key.seal(b"payload", "template")
    for at in range(len(sealed)):
        with pytest.raises(UnsealingError):
            key.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], "template")
        with pytest.raises(UnsealingError):
            key.unseal(sealed[:at], "template")


def test_a_wrapped_key_opens_for_its_own_template_alone() -> None:
    key = DataKey.new()
    wrapped = key.wrap(SEALER, "one")
    sealed = key.seal(b"payload", "template")
    assert DataKey.unwrap(wrapped, SEALER, "one").unseal(sealed, "template") == b"payload"
    with pytest.raises(UnsealingError):
        DataKey.unwrap(wrapped, SEALER, "two")
