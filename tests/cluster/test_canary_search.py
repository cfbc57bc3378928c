from __future__ import annotations

import base64
import json
import os

import msgpack
import numpy as np
import pytest

from tests.cluster.canary_search import CanarySearch

VECTORS = np.random.default_rng(0).standard_normal((1000, 128)).astype(np.float32) / 11
DIGESTS = [os.urandom(32).hex() for _ in range(1000)]
WORD = b"canary-" + os.urandom(12)
ONE = VECTORS[617]
RAW = ONE.tobytes()


@pytest.fixture(scope="module")
def search() -> CanarySearch:
    return CanarySearch(VECTORS, DIGESTS, {"word": WORD})


@pytest.mark.parametrize(
    ("planted", "form"),
    [
        (RAW, "float32"),
        (ONE.astype(">f4").tobytes(), "float32, big-endian"),
        (ONE.astype(np.float16).tobytes(), "float16"),
        (ONE.astype(np.float64).tobytes(), "float64"),
        (msgpack.packb(ONE.tolist()), "msgpack float64"),
        (msgpack.packb(ONE.tolist(), use_single_float=True), "msgpack float32"),
        (RAW.hex().encode(), "hexadecimal"),
        (base64.b64encode(RAW), "float32, base64"),
        (base64.b64encode(b"x" + RAW), "float32, base64"),
        (base64.urlsafe_b64encode(b"xy" + RAW), "float32, base64"),
        (base64.b64encode(ONE.astype(np.float16).tobytes()), "float16, base64"),
        (json.dumps(ONE.tolist()).encode(), "decimal text"),
        (repr(ONE[:5]).encode(), "decimal text"),
        (" ".join(f"{number:.4f}" for number in ONE).encode(), "decimal text"),
        (bytes.fromhex(DIGESTS[5]), "digest"),
        (DIGESTS[5].encode(), "digest, hexadecimal"),
        (WORD, "word"),
        (base64.b64encode(b"before" + WORD + b"after"), "word"),
    ],
    ids=map(str, range(18)),  # what is planted is made anew by each process that collects tests
)
@pytest.mark.parametrize("offset", [0, 3])
def test_what_is_there_is_found(search: CanarySearch, planted: bytes, form: str, offset: int) -> None:
    content = os.urandom(10_000 + offset) + planted + os.urandom(10_000)
    assert search(content) == {form}


def test_what_is_not_there_is_not_found(search: CanarySearch) -> None:
    other = np.random.default_rng(1).standard_normal((100, 128)).astype(np.float32)
    text = json.dumps(other.tolist()).encode() + base64.b64encode(other.tobytes())
    assert search(os.urandom(1_000_000) + other.tobytes() + text) == set()
    assert search(b"") == search(b"short") == set()
