from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from service.pipeline.set_keys import digest_sample, set_key
from service.types import ConsistencyPolicy, FacePolicy, QualityLimits

digests = st.lists(st.binary(min_size=1, max_size=8).map(digest_sample), min_size=1, max_size=6)


def test_digest_is_sha256() -> None:
    assert digest_sample(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def key(
    values: list[str],
    fingerprint: str = "pack",
    policy: FacePolicy = FacePolicy.LARGEST,
    consistency: ConsistencyPolicy = ConsistencyPolicy.WARN,
    subject: str | None = None,
    **limits: float,
) -> str:
    eyes = limits.pop("min_eye_distance_pixels", 8.0)
    quality = QualityLimits(**limits)
    return set_key(
        values, fingerprint, policy, consistency, subject=subject, min_eye_distance_pixels=eyes, quality_limits=quality
    )


@given(digests, st.randoms())
def test_order_and_repetition_do_not_change_the_key(values: list[str], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = [*values, random.choice(values)]
    random.shuffle(shuffled)
    assert key(shuffled) == key(values)


@given(digests, digests)
def test_other_samples_have_another_key(left: list[str], right: list[str]) -> None:
    assert (key(left) == key(right)) is (set(left) == set(right))


def test_pack_policy_and_limits_are_part_of_the_key() -> None:
    keys = {
        key(["a"], "one"),
        key(["a"], "two"),
        key(["a"], "one", FacePolicy.ONLY),
        key(["a"], "one", subject="anna"),
        key(["a"], "one", subject="None"),
        key(["a"], "one", consistency=ConsistencyPolicy.DROP),
        key(["a"], "one", min_eye_distance_pixels=9.0),
        *(key(["a"], "one", **{limit.name: 0.25}) for limit in fields(QualityLimits)),
    }
    assert len(keys) == 7 + len(fields(QualityLimits))
