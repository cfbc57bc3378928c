from __future__ import annotations

import base64
import multiprocessing
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.errors import InvalidSealedTemplateError, InvalidSealingKeyError, SealedTemplateExpiredError
from service.settings import Settings
from service.store.sealing import (
    KEY_FILE,
    AesGcmTemplateSealer,
    PayloadSealer,
    SealingPurpose,
    UnsealingError,
    load_key_ring,
)
from tests.store.samples import KEY, assert_same_template, make_template

OTHER_KEY = bytes(32)


def sealer_of(*ring: bytes) -> AesGcmTemplateSealer:
    """At a time when the templates of these tests live."""
    return AesGcmTemplateSealer(ring, clock=lambda: 0.0)


class TestTemplateSealer:
    def test_round_trip(self) -> None:
        template = make_template()
        assert_same_template(sealer_of(KEY).unseal(sealer_of(KEY).seal(template)), template)

    def test_every_changed_byte_is_found(self) -> None:
        sealer = sealer_of(KEY)
        sealed = sealer.seal(make_template())
        for at in range(len(sealed)):
            with pytest.raises(InvalidSealedTemplateError):
                sealer.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])

    def test_every_truncation_is_found(self) -> None:
        sealer = sealer_of(KEY)
        sealed = sealer.seal(make_template())
        for end in range(len(sealed)):
            with pytest.raises(InvalidSealedTemplateError):
                sealer.unseal(sealed[:end])

    def test_another_key_is_named(self) -> None:
        sealed = sealer_of(KEY).seal(make_template())
        with pytest.raises(InvalidSealedTemplateError, match="not on this service's ring"):
            sealer_of(OTHER_KEY).unseal(sealed)

    def test_an_older_key_of_the_ring_opens_and_the_first_seals(self) -> None:
        template, ring = make_template(), (OTHER_KEY, KEY)
        assert_same_template(sealer_of(*ring).unseal(sealer_of(KEY).seal(template)), template)
        assert_same_template(sealer_of(OTHER_KEY).unseal(sealer_of(*ring).seal(template)), template)

    def test_an_expired_one_is_refused(self) -> None:
        template = make_template()
        sealed = sealer_of(KEY).seal(template)
        AesGcmTemplateSealer((KEY,), clock=lambda: template.expires_at - 0.001).unseal(sealed)
        with pytest.raises(SealedTemplateExpiredError):
            AesGcmTemplateSealer((KEY,), clock=lambda: template.expires_at).unseal(sealed)

    def test_what_is_no_sealed_template_is_refused(self) -> None:
        sealer = sealer_of(KEY)
        for data in (b"", b"CFTS", b"CFTS\x01", b"CFTS\x02" + bytes(100), secrets.token_bytes(500), bytes(10**7)):
            with pytest.raises(InvalidSealedTemplateError):
                sealer.unseal(data)

    def test_nothing_of_the_vector_is_readable_and_no_two_are_alike(self) -> None:
        sealer = sealer_of(KEY)
        template = make_template()
        first, second = sealer.seal(template), sealer.seal(template)
        assert first[30:] != second[30:]
        raw = template.vector.tobytes()
        for at in range(0, len(raw), 8):
            assert raw[at : at + 8] not in first
        assert template.reports[0].digest.encode() not in first


class TestPayloadSealer:
    @pytest.mark.parametrize("size", [0, 1, 15, 16, 262_144, 262_145, 3_000_000])
    def test_round_trip(self, size: int) -> None:
        sealer = PayloadSealer((KEY,), SealingPurpose.ENGINE)
        payload = secrets.token_bytes(size)
        assert sealer.unseal(sealer.seal(payload, "context"), "context") == payload

    def test_another_context_key_or_purpose_opens_nothing(self) -> None:
        sealed = PayloadSealer((KEY,), SealingPurpose.ENGINE).seal(b"payload", "context")
        with pytest.raises(UnsealingError):
            PayloadSealer((KEY,), SealingPurpose.ENGINE).unseal(sealed, "another context")
        with pytest.raises(UnsealingError):
            PayloadSealer((OTHER_KEY,), SealingPurpose.ENGINE).unseal(sealed, "context")
        with pytest.raises(UnsealingError):
            PayloadSealer((KEY,), SealingPurpose.EMBEDDINGS).unseal(sealed, "context")

    def test_every_changed_byte_and_truncation_is_found(self) -> None:
        sealer = PayloadSealer((KEY,), SealingPurpose.ENGINE)
        sealed = sealer.seal(b"some payload", "context")
        for at in range(len(sealed)):
            with pytest.raises(UnsealingError):
                sealer.unseal(sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1 :], "context")
            with pytest.raises(UnsealingError):
                sealer.unseal(sealed[:at], "context")

    def test_every_key_of_the_ring_opens_and_the_first_seals(self) -> None:
        ring = PayloadSealer((OTHER_KEY, KEY), SealingPurpose.ENGINE)
        old, new = (PayloadSealer((key,), SealingPurpose.ENGINE) for key in (KEY, OTHER_KEY))
        assert ring.unseal(old.seal(b"payload", "context"), "context") == b"payload"
        assert new.unseal(ring.seal(b"payload", "context"), "context") == b"payload"
        assert ring.blind("a") == new.blind("a")
        assert ring.blind_each("a") == [new.blind("a"), old.blind("a")]

    def test_blinding_is_stable_and_keyed(self) -> None:
        blind = PayloadSealer((KEY,), SealingPurpose.EMBEDDINGS).blind
        assert blind("a") == PayloadSealer((KEY,), SealingPurpose.EMBEDDINGS).blind("a")
        assert blind("a") != blind("b")
        assert blind("a") != PayloadSealer((OTHER_KEY,), SealingPurpose.EMBEDDINGS).blind("a")


def _load(state_dir: str, barrier: object, answers: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    answers.put(load_key_ring(Settings(state_dir=Path(state_dir))))  # type: ignore[attr-defined]


class TestKeyFile:
    def test_the_setting_wins(self, tmp_path: Path) -> None:
        settings = Settings(state_dir=tmp_path, sealing_key=SecretStr(base64.b64encode(KEY).decode()))
        assert load_key_ring(settings) == (KEY,)
        assert not (tmp_path / KEY_FILE).exists()

    def test_several_keys_are_a_ring(self, tmp_path: Path) -> None:
        words = [base64.b64encode(key).decode() for key in (OTHER_KEY, KEY)]
        for text in (",".join(words), " , ".join(words), "\n".join(words) + "\n"):
            assert load_key_ring(Settings(state_dir=tmp_path, sealing_key=SecretStr(text))) == (OTHER_KEY, KEY)

    @pytest.mark.parametrize(
        "text",
        ["", ",", base64.b64encode(KEY).decode() + ",short", "abc", base64.b64encode(bytes(31)).decode(), "!" * 44],
    )
    def test_what_is_no_key_is_refused_without_repeating_it(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(InvalidSealingKeyError) as refusal:
            load_key_ring(Settings(state_dir=tmp_path, sealing_key=SecretStr(text)))
        assert len(text) < 2 or text not in refusal.value.detail

    def test_a_key_file_is_made_once_and_is_private(self, tmp_path: Path) -> None:
        settings = Settings(state_dir=tmp_path / "state")
        ring = load_key_ring(settings)
        assert [len(key) for key in ring] == [32]
        assert load_key_ring(settings) == ring
        assert (tmp_path / "state" / KEY_FILE).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert [path.name for path in (tmp_path / "state").iterdir()] == [KEY_FILE]

    def test_a_key_file_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        settings = Settings(state_dir=tmp_path)
        load_key_ring(settings)
        (tmp_path / KEY_FILE).chmod(0o640)
        with pytest.raises(InvalidSealingKeyError, match="chmod"):
            load_key_ring(settings)

    def test_a_damaged_key_file_is_refused(self, tmp_path: Path) -> None:
        settings = Settings(state_dir=tmp_path)
        load_key_ring(settings)
        (tmp_path / KEY_FILE).write_text("short")
        with pytest.raises(InvalidSealingKeyError):
            load_key_ring(settings)

    def test_processes_that_start_together_agree(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        barrier, answers = context.Barrier(4), context.Queue()
        processes = [context.Process(target=_load, args=(str(tmp_path), barrier, answers)) for _ in range(4)]
        for process in processes:
            process.start()
        found = {answers.get(timeout=60) for _ in processes}
        for process in processes:
            process.join()
        assert len(found) == 1


def test_a_template_of_another_id_cannot_be_swapped_in() -> None:
    sealer = sealer_of(KEY)
    one, two = sealer.seal(make_template("tpl-1")), sealer.seal(make_template("tpl-2"))
    header = one.index(b"tpl-1")
    with pytest.raises(InvalidSealedTemplateError):
        sealer.unseal(one[:header] + b"tpl-2" + one[header + 5 :])
    assert sealer.unseal(two).template_id == "tpl-2"
    assert sealer.unseal(sealer.seal(replace(make_template(), template_id="x" * 64))).template_id == "x" * 64
