from __future__ import annotations

import pytest
from redis.asyncio import Redis

from service.engine.consumer import WorkerTiming
from service.engine.quarantine import Quarantine, Standing
from service.errors import SetQuarantinedError
from service.store import keys
from tests.engine.conftest import make_sealer, running_remote, running_worker, until_ready
from tests.engine.fakes import FINGERPRINT, FakeProcessor, make_request

QUICK = WorkerTiming(beat_interval_s=0.05, abandoned_after_s=1.0, block_s=0.05)


@pytest.fixture
def quarantine(redis: Redis) -> Quarantine:
    return Quarantine(redis, make_sealer(), FINGERPRINT)


async def test_the_second_death_is_enough_for_all_sets_of_these_samples(quarantine: Quarantine) -> None:
    request, again, other = make_request("a", "b"), make_request("b", "a"), make_request("a", "c")
    assert await quarantine.standing(request, deaths=0) is Standing.CLEAR
    assert await quarantine.standing(request, deaths=1) is Standing.CLEAR
    assert await quarantine.standing(request, deaths=2) is Standing.QUARANTINED
    assert await quarantine.standing(again, deaths=0) is Standing.QUARANTINED
    assert await quarantine.standing(other, deaths=0) is Standing.CLEAR


async def test_a_suspicion_does_not_take_the_place_of_what_is_known(quarantine: Quarantine) -> None:
    request = make_request("a")
    await quarantine.blame(request, deaths=1)
    assert await quarantine.standing(request, deaths=0) is Standing.SUSPECT
    await quarantine.blame(request, deaths=2)
    await quarantine.blame(request, deaths=1)
    assert await quarantine.standing(request, deaths=0) is Standing.QUARANTINED


async def test_a_suspect_set_is_done_alone_and_cleared_by_its_success(redis: Redis, quarantine: Quarantine) -> None:
    processor = FakeProcessor()
    suspect = make_request("face of a suspect")
    await quarantine.blame(suspect, deaths=1)
    async with running_worker(redis, processor, timing=QUICK), running_remote(redis) as engine:
        await until_ready(engine)
        result = await engine.create(suspect)
        assert result.aggregation is not None
        # Delivered twice: set aside by the worker that read it, then taken over.
        assert processor.batches == [[suspect.request_id]]
        assert await quarantine.standing(suspect, deaths=0) is Standing.CLEAR
        assert (await engine.create(make_request("face of a suspect"))).aggregation is not None


async def test_a_quarantined_set_is_refused_at_once(redis: Redis, quarantine: Quarantine) -> None:
    processor = FakeProcessor()
    request = make_request("face")
    await quarantine.blame(request, deaths=2)
    async with running_worker(redis, processor), running_remote(redis) as engine:
        await until_ready(engine)
        with pytest.raises(SetQuarantinedError):
            await engine.create(request)
    assert processor.batches == []
    assert await redis.xlen(keys.job_stream_key(FINGERPRINT)) == 0
