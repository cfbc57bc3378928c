from hypothesis import given
from hypothesis import strategies as st

from service.pipeline.set_keys import digest_sample, set_key
from service.types import FacePolicy

digests = st.lists(st.binary(min_size=1, max_size=8).map(digest_sample), min_size=1, max_size=6)


def test_digest_is_sha256() -> None:
    assert digest_sample(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(digests, st.randoms())
def test_order_and_repetition_do_not_change_the_key(values: list[str], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = [*values, random.choice(values)]
    random.shuffle(shuffled)
    assert set_key(shuffled, "pack", FacePolicy.LARGEST, 8.0) == set_key(values, "pack", FacePolicy.LARGEST, 8.0)


@given(digests, digests)
def test_other_samples_have_another_key(left: list[str], right: list[str]) -> None:
    same = set(left) == set(right)
    assert (set_key(left, "p", FacePolicy.LARGEST, 8.0) == set_key(right, "p", FacePolicy.LARGEST, 8.0)) is same


def test_pack_and_policy_are_part_of_the_key() -> None:
    keys = {
        set_key(["a"], "one", FacePolicy.LARGEST, 8.0),
        set_key(["a"], "two", FacePolicy.LARGEST, 8.0),
        set_key(["a"], "one", FacePolicy.ONLY, 8.0),
        set_key(["a"], "one", FacePolicy.LARGEST, 9.0),
    }
    assert len(keys) == 4
