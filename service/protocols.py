"""The seams. Each protocol fits one screen; implementations are chosen in `app.py`, `worker.py` and the CLI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.conditions import EngineStatus, StoreCondition
from service.decisions import CalibratedScore
from service.errors import RequestError
from service.kept_answers import KeptAnswer
from service.types import (
    Aggregation,
    ComparedTemplate,
    Detection,
    EmbeddedSample,
    Embedding,
    FacePolicy,
    SampleMaterial,
    SetRequest,
    SetResult,
    Template,
)


class InferenceSession(Protocol):
    """A loaded network. Thread-safe."""

    @property
    def provider(self) -> str:
        """The execution provider that really runs, for example `CPUExecutionProvider`."""
        ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the order of the file."""
        ...

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs in the order of the file. Raises `InferenceFailedError`."""
        ...


class PixelNetwork(Protocol):
    """A loaded network that looks at images. Thread-safe."""

    @property
    def provider(self) -> str:
        """What really runs it, for example `CPUExecutionProvider`."""
        ...

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        """All outputs in the order of the file for images (B, H, W, 3), BGR, 0..255. Raises `InferenceFailedError`,
        `OutOfMemoryError`."""
        ...


class FaceDetector(Protocol):
    """Finds faces with five landmarks."""

    def detect(self, images_bgr: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Per image ((H, W, 3), BGR, any sizes), its faces by falling score. An image's answer does not
        depend on its neighbours in the batch."""
        ...

    def refine_landmarks(self, images_bgr: Sequence[NDArray[np.uint8]], faces: Sequence[Detection]) -> list[Detection]:
        """One face per image, found in it by `detect`, with landmarks that are as exact as the detector can be."""
        ...


class FaceEmbedder(Protocol):
    """Turns aligned faces into embeddings."""

    @property
    def width(self) -> int:
        """D."""
        ...

    def embed(self, faces_bgr: NDArray[np.uint8]) -> list[Embedding | None]:
        """One embedding per aligned face ((B, 112, 112, 3), BGR); None where the output is not usable."""
        ...


class SetAggregator(Protocol):
    """Turns the embeddings of one subject into one template."""

    def aggregate(self, sets: Sequence[Sequence[Embedding]]) -> list[Aggregation]:
        """One aggregation per set of at least one embedding. A set's answer does not depend on its
        neighbours; ties go to the earlier sample. Raises `InferenceFailedError`."""
        ...

    def aggregate_without_each(self, embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
        """The templates of a set of N >= 2 without its first, second, ... sample: (N, D), unit length. Raises
        `InferenceFailedError`."""
        ...


class ScoreCalibrator(Protocol):
    """What a comparison score means."""

    @property
    def highest_norm(self) -> float:
        """No template of the pack has a norm above it; infinite where norms decide nothing."""
        ...

    def resolve(self, name: str | None) -> str:
        """The operating point of this name, or the default one. Raises `UnknownOperatingPointError`,
        `UnsupportedOperatingPointError`."""
        ...

    def false_match_rate(self, name: str) -> float:
        """The one that a resolved operating point is named by."""
        ...

    def calibrate(
        self, score: float, reference_norm: float | None, probe_norm: float | None, name: str
    ) -> CalibratedScore:
        """At a resolved operating point. Template norms decide which threshold; None: not known."""
        ...


class TemplateEngine(Protocol):
    """Sample set in, embeddings and template out; in this process or on workers elsewhere."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Finish what runs, refuse the rest, free everything."""
        ...

    async def create(self, request: SetRequest) -> SetResult:
        """Raises `FingerprintMismatchError`, `DeadlineExceededError`, `OverloadedError`, `NotReadyError`,
        `InferenceFailedError`, `OutOfMemoryError`."""
        ...

    def check_load(self, tenant: str, time_left_s: float) -> None:
        """Raises `OverloadedError` when even the smallest set of the tenant would be refused now: to be asked before
        anything is read or computed for a request."""
        ...

    async def status(self) -> EngineStatus: ...


class TemplateStore(Protocol):
    """Keeps templates, sealed, and caches embeddings. Every method raises `StoreUnavailableError`."""

    async def find_by_set(self, set_key: str) -> Template | None:
        """The live template that was made from this very set (see `pipeline.set_keys`), if any."""
        ...

    def claim_set(self, set_key: str, wait_s: float) -> AbstractAsyncContextManager[Template | None]:
        """The same for one who means to make and `put` it: where there is none, nobody else in the deployment begins to
        make one within this context. Waits up to `wait_s` seconds for somebody who does already. Raises
        `DeadlineExceededError`."""
        ...

    async def get(self, template_id: str) -> Template:
        """Raises `TemplateNotFoundError` (unknown or expired), `TemplateErasedError`."""
        ...

    async def get_compared(self, template_ids: Sequence[str]) -> dict[str, ComparedTemplate | RequestError]:
        """What a comparison needs of each, or the error that `get` would raise for it alone."""
        ...

    async def get_material(self, template_id: str) -> SampleMaterial:
        """What the template can be made of again. Raises as `get`."""
        ...

    async def list_subject(self, subject: str) -> list[Template]:
        """The live templates of a subject, the one that expires first first."""
        ...

    async def list_page(self, cursor: int, limit: int) -> tuple[list[Template], int]:
        """Some of the live templates, about `limit`, and the cursor of the next page; 0 begins and ends. All that are
        there from the first page to the last are listed, some perhaps twice."""
        ...

    async def expire(self, template_id: str, seconds: float) -> Template:
        """Let it end in so many seconds, unless it would sooner. Raises as `get`."""
        ...

    async def put(self, template: Template, set_key: str, material: SampleMaterial) -> Template:
        """Keep it with what it was made of, and point the set at it. Answers the template now kept for the set: an
        equal one that was stored first wins."""
        ...

    async def erase(self, template_id: str) -> None:
        """Erase it and what was derived from its samples. Raises `TemplateNotFoundError`,
        `TemplateErasedError`."""
        ...

    async def get_embeddings(
        self, digests: Sequence[str], fingerprint: str, face_policy: FacePolicy
    ) -> dict[str, EmbeddedSample]:
        """The cached ones of these samples, by digest."""
        ...

    async def put_embeddings(
        self, samples: Sequence[EmbeddedSample], fingerprint: str, face_policy: FacePolicy
    ) -> None: ...

    async def ping(self) -> StoreCondition:
        """Raises `StoreUnavailableError` with the reason when templates could not be kept safely."""
        ...


class AnswerStore(Protocol):
    """Keeps answers by idempotency key, sealed. Every method raises `StoreUnavailableError` and, where the key is that
    of another request, `IdempotencyKeyReusedError`."""

    def claim_answer(
        self, key: str, request_digest: str, wait_s: float
    ) -> AbstractAsyncContextManager[KeptAnswer | None]:
        """The answer that is kept; where there is none, nobody else in the deployment begins to work on it within this
        context, which should put one. Waits up to `wait_s` seconds for somebody who does already. Raises
        `DeadlineExceededError`, and `TemplateErasedError` or `TemplateNotFoundError` where a template that the answer
        tells of is gone."""
        ...

    async def put_answer(self, key: str, request_digest: str, answer: KeptAnswer) -> KeptAnswer:
        """Keep it. Answers the one now kept: one that was stored first wins. Raises as `claim_answer`."""
        ...


class TemplateSealer(Protocol):
    """Authenticated encryption of a template for transport and rest."""

    def seal(self, template: Template) -> bytes: ...

    def unseal(self, sealed: bytes) -> Template:
        """Raises `InvalidSealedTemplateError`."""
        ...

    def id_of(self, sealed: bytes) -> str | None:
        """The id that a sealed template says it has, which only opening it proves; None for what has no such form."""
        ...
