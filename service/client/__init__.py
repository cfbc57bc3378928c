"""A typed client of the HTTP API, for programs: `Coreface`, and `AsyncCoreface` for asyncio.

    from service.client import Coreface

    with Coreface("http://127.0.0.1:8000") as coreface:
        anna = coreface.enrol(["anna1.jpg", "anna2.jpg"], subject="anna")
        answer = coreface.verify(anna.template_id, Samples(["probe.jpg"]), operating_point="fmr_1e-4")
        if answer.decision == "match":
            ...

It imports nothing of the server but the shapes of its answers, so that both are always of one mind about them.
"""

from __future__ import annotations

from service.client.asynchronous import AsyncCoreface
from service.client.pictures import Picture
from service.client.problems import CorefaceProblem, CorefaceUnreachable
from service.client.sides import Samples, SealedTemplate, Side, Vector
from service.client.synchronous import Coreface

__all__ = [
    "AsyncCoreface",
    "Coreface",
    "CorefaceProblem",
    "CorefaceUnreachable",
    "Picture",
    "Samples",
    "SealedTemplate",
    "Side",
    "Vector",
]
