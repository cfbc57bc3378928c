"""A set processor without a model: what it does with a sample is written in the sample.

face...         embedded, from the digest alone
none...         rejected, `no_face`
fail...         the whole set is answered with `InferenceFailedError`
crash...        raises something unforeseen
wait:PATH       embedded once the file PATH is there
kill...         the process kills itself (SIGKILL)
kill-once:PATH  as `kill`, unless the file PATH is there, which it makes first; then embedded
note:PATH       appends a line to PATH; then embedded
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.errors import CorefaceError, InferenceFailedError
from service.pipeline.stages import Stage, StageRunner
from service.types import (
    Aggregation,
    Detection,
    EmbeddedFace,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    FaceQuality,
    HeadPose,
    RejectedSample,
    RejectionReason,
    Sample,
    SampleOutcome,
    SetRequest,
    SetResult,
)

FINGERPRINT = "0123456789abcdef" * 2
PROVIDER = "FakeExecutionProvider"
WIDTH = 8
PLENTY_S = 60.0


def make_sample(text: str) -> Sample:
    data = text.encode()
    return Sample(hashlib.sha256(data).hexdigest(), data)


def make_request(*texts: str, request_id: str = "", timeout_s: float = PLENTY_S) -> SetRequest:
    return SetRequest(
        request_id=request_id or os.urandom(8).hex(),
        samples=tuple(make_sample(text) for text in texts),
        known=(),
        face_policy=FacePolicy.LARGEST,
        fingerprint=FINGERPRINT,
        timeout_s=timeout_s,
    )


def embed(digest: str) -> EmbeddedSample:
    generator = np.random.default_rng(int(digest[:16], 16))
    vector = generator.standard_normal(WIDTH).astype(np.float32)
    return EmbeddedSample(
        digest,
        EmbeddedFace(
            Detection((0.5, 1.5, 60.0, 70.0), 0.875, (generator.random((5, 2)) * 50).astype(np.float32)),
            FaceQuality(12.5, 0.5, HeadPose(-3.0, 1.5)),
            Embedding(vector / np.linalg.norm(vector), 10.0 + generator.random()),
        ),
    )


class FakeProcessor:
    """Does what the samples say; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.warm = False

    def warm_up(self) -> None:
        self.threads.add(threading.get_ident())
        self.warm = True

    def attach(self, device: StageRunner, decoders: StageRunner) -> None:
        self.stage: Stage[SetRequest, SetResult] = device.add_stage("all", self.work, max_cost=1000)

    async def process(self, request: SetRequest, deadline: float) -> SetResult:
        return await self.stage.submit(request, deadline=deadline)

    def work(self, requests: Sequence[SetRequest]) -> list[SetResult | CorefaceError]:
        self.threads.add(threading.get_ident())
        self.batches.append([request.request_id for request in requests])
        return [self._one(request) for request in requests]

    def _one(self, request: SetRequest) -> SetResult | CorefaceError:
        outcomes: list[SampleOutcome] = list(request.known)
        for sample in request.samples:
            verb, _, argument = sample.data.decode().partition(":")
            if verb.startswith("fail"):
                return InferenceFailedError("told to fail")
            outcomes.append(_follow(verb, argument, sample.digest))
        outcomes.sort(key=lambda outcome: outcome.digest)
        embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedSample)]
        aggregation = None
        if embedded:
            mean = np.mean([outcome.embedding.vector for outcome in embedded], axis=0)
            weights = tuple(1 / len(embedded) for _ in embedded)
            vector = (mean / np.linalg.norm(mean)).astype(np.float32)
            aggregation = Aggregation(vector, float(np.linalg.norm(mean)), (0,), weights)
        return SetResult(
            request.request_id,
            tuple(outcomes),
            aggregation,
            {"embed": 0.25},
            tuple(None if isinstance(outcome, RejectedSample) else 0 for outcome in outcomes),
        )


def _follow(verb: str, argument: str, digest: str) -> SampleOutcome:
    if verb.startswith("none"):
        return RejectedSample(digest, RejectionReason.NO_FACE)
    if verb.startswith("crash"):
        raise ValueError("told to crash")
    if verb == "wait":
        deadline = time.monotonic() + PLENTY_S
        while not Path(argument).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    if verb == "note":
        with Path(argument).open("a") as stream:
            stream.write("done\n")
    if verb.startswith("kill") and not (argument and Path(argument).exists()):
        if argument:
            Path(argument).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return embed(digest)


def build_fake() -> tuple[FakeProcessor, str]:
    return FakeProcessor(), PROVIDER
