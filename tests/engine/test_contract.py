"""What every `TemplateEngine` must do, whatever carries the work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    DeadlineExceededError,
    FingerprintMismatchError,
    InferenceFailedError,
    NotReadyError,
    OverloadedError,
)
from service.types import EmbeddedSample, RejectedSample, RejectionReason
from tests.engine.conftest import EngineUnderTest
from tests.engine.fakes import PROVIDER, embed, make_request, make_sample
from tests.engine.polling import until


async def test_a_set_becomes_what_the_processor_makes_of_it(under_test: EngineUnderTest) -> None:
    request = make_request("face 1", "none 2", "face 3")
    known = embed(make_sample("face 4").digest)
    result = await under_test.engine.create(replace(request, known=(known,)))
    assert result.request_id == request.request_id
    assert [outcome.digest for outcome in result.outcomes] == sorted(
        make_sample(text).digest for text in ("face 1", "none 2", "face 3", "face 4")
    )
    assert result.aggregation is not None
    assert len(result.aggregation.weights) == 3
    assert result.aggregation.core_indices == (0,)
    for outcome in result.outcomes:
        if isinstance(outcome, RejectedSample):
            assert outcome == RejectedSample(make_sample("none 2").digest, RejectionReason.NO_FACE)
        else:
            expected = embed(outcome.digest)
            np.testing.assert_array_equal(outcome.embedding.vector, expected.embedding.vector)
            np.testing.assert_array_equal(outcome.face.detection.landmarks, expected.face.detection.landmarks)
            assert outcome.embedding.norm == expected.embedding.norm
            assert (outcome.face.detection.box, outcome.face.detection.score) == ((0.5, 1.5, 60.0, 70.0), 0.875)
    assert result.stage_seconds["embed"] == 0.25
    assert result.stage_seconds["queue"] >= 0


async def test_a_set_without_a_face_has_no_aggregation(under_test: EngineUnderTest) -> None:
    result = await under_test.engine.create(make_request("none 1"))
    assert result.aggregation is None
    assert len(result.outcomes) == 1


async def test_concurrent_sets_get_their_own_answers(under_test: EngineUnderTest) -> None:
    async def one(number: int) -> None:
        names = [f"face {number}-{part}" for part in range(number % 4 + 1)]
        request = make_request(*names)
        while True:
            try:
                result = await under_test.engine.create(request)
                break
            except OverloadedError:
                await asyncio.sleep(0.002)
        assert [outcome.digest for outcome in result.outcomes] == sorted(make_sample(name).digest for name in names)
        for outcome in result.outcomes:
            assert isinstance(outcome, EmbeddedSample)
            np.testing.assert_array_equal(outcome.embedding.vector, embed(outcome.digest).embedding.vector)

    await asyncio.gather(*(one(number) for number in range(200)))


async def test_sets_are_batched(under_test: EngineUnderTest, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = asyncio.create_task(under_test.engine.create(make_request(f"wait:{gate}")))
    await until(lambda: under_test.processor.batches)
    rest = [asyncio.create_task(under_test.engine.create(make_request(f"face {n}"))) for n in range(3)]
    await until(lambda: len(under_test.processor.stage.jobs) == 3)
    gate.touch()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in under_test.processor.batches] == [1, 3]


async def test_another_pack_is_refused(under_test: EngineUnderTest) -> None:
    with pytest.raises(FingerprintMismatchError):
        await under_test.engine.create(replace(make_request("face"), fingerprint="f" * 32))


async def test_a_failing_set_fails_alone(under_test: EngineUnderTest) -> None:
    answers = await asyncio.gather(
        under_test.engine.create(make_request("fail")),
        under_test.engine.create(make_request("face")),
        return_exceptions=True,
    )
    assert isinstance(answers[0], InferenceFailedError)
    assert answers[0].detail == "told to fail"
    assert not isinstance(answers[1], BaseException)


async def test_something_unforeseen_is_an_inference_failure_and_not_the_end(under_test: EngineUnderTest) -> None:
    with pytest.raises(InferenceFailedError):
        await under_test.engine.create(make_request("crash"))
    assert (await under_test.engine.create(make_request("face"))).aggregation is not None


async def test_a_deadline_ends_the_wait(under_test: EngineUnderTest, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with pytest.raises(DeadlineExceededError):
        await under_test.engine.create(make_request(f"wait:{gate}", timeout_s=0.3))
    with pytest.raises(DeadlineExceededError):
        await under_test.engine.create(make_request("face", timeout_s=0.0))
    gate.touch()
    assert (await under_test.engine.create(make_request("face"))).aggregation is not None


async def test_too_much_at_once_is_refused_at_once(under_test: EngineUnderTest, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tasks = [asyncio.create_task(under_test.engine.create(make_request(f"wait:{gate}"))) for _ in range(30)]
    done, waiting = await asyncio.wait(tasks, timeout=1.0)
    assert done
    assert all(isinstance(task.exception(), OverloadedError) for task in done)
    gate.touch()
    assert all(result.aggregation is not None for result in await asyncio.gather(*waiting))
    assert (await under_test.engine.create(make_request("face"))).aggregation is not None


async def test_a_caller_that_goes_away_frees_its_place(under_test: EngineUnderTest, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    blocker = asyncio.create_task(under_test.engine.create(make_request(f"wait:{gate}")))
    await until(lambda: under_test.processor.batches)
    for _ in range(30):
        gone = asyncio.create_task(under_test.engine.create(make_request("face")))
        await asyncio.sleep(0.005)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    gate.touch()
    await blocker
    assert (await under_test.engine.create(make_request("face"))).aggregation is not None


async def test_the_status_names_what_really_runs(under_test: EngineUnderTest) -> None:
    status = await under_test.engine.status()
    assert (status.ready, status.workers, status.providers) == (True, 1, (PROVIDER,))


async def test_a_stopped_engine_refuses(under_test: EngineUnderTest) -> None:
    await under_test.engine.stop()
    with pytest.raises(NotReadyError):
        await under_test.engine.create(make_request("face"))
    assert not (await under_test.engine.status()).ready
