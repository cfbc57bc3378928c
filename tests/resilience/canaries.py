"""Sets whose template is known beforehand, because the stand-ins make embeddings of the digests of samples alone."""

from __future__ import annotations

import base64
import itertools
import secrets
from dataclasses import dataclass

import numpy as np
import orjson

from service.pipeline.set_keys import digest_sample
from tests.cluster.stub_worker import mean_of
from tests.pipeline.fakes import embed, png

_origin = secrets.token_hex(8)
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class CanarySet:
    """One that nobody sent before."""

    samples: tuple[bytes, ...]

    @classmethod
    def fresh(cls, content: bytes = b"") -> CanarySet:
        """`content` lies in every sample."""
        serial = next(_serial)
        return cls(tuple(png(content=b"%s %d %d %s" % (_origin.encode(), serial, n, content)) for n in range(2)))

    def body(self, *include: str) -> bytes:
        """Of a request for its template."""
        samples = [base64.b64encode(sample).decode() for sample in self.samples]
        return orjson.dumps({"samples": samples, "include": include})

    def is_vector(self, vector: list[float]) -> bool:
        """Whether it is the template of this very set."""
        digests = sorted(digest_sample(sample) for sample in self.samples)
        expected = mean_of([embed(digest, width=len(vector)) for digest in digests]).vector
        return bool(np.allclose(vector, expected, atol=1e-6))
