"""The sides of a comparison."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.client.pictures import Picture, read_picture


@dataclass(frozen=True, slots=True)
class Samples:
    """Pictures of one subject, compared and not kept."""

    pictures: Sequence[Picture]
    face_policy: str | None = None
    consistency_policy: str | None = None

    def body(self) -> dict[str, Any]:
        samples = [base64.b64encode(read_picture(picture)).decode() for picture in self.pictures]
        policies = {"face_policy": self.face_policy, "consistency_policy": self.consistency_policy}
        return {"samples": samples} | {name: value for name, value in policies.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Vector:
    """A template's vector, as it was answered with `include=vector`."""

    values: Sequence[float]  # (D,)
    fingerprint: str | None = None
    """The pack that made it: checked when given."""
    template_norm: float | None = None
    """As answered with it. Without, the vector is held to the strictest threshold."""

    def __repr__(self) -> str:
        """Without the values, which are a person's face."""
        return f"Vector(<{len(self.values)} values>, fingerprint={self.fingerprint!r})"

    def body(self) -> dict[str, Any]:
        known = {"fingerprint": self.fingerprint, "template_norm": self.template_norm}
        values = [float(value) for value in self.values]
        return {"vector": values} | {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, repr=False)
class SealedTemplate:
    """As it was answered with `include=sealed_template`: base64, or the bytes of a `.coreface` file."""

    sealed: str | bytes

    def body(self) -> dict[str, Any]:
        sealed = self.sealed if isinstance(self.sealed, str) else base64.b64encode(self.sealed).decode()
        return {"sealed_template": sealed}


Side = str | Samples | Vector | SealedTemplate
"""A str is a template id."""


def side_body(side: Side) -> dict[str, Any]:
    """As `/v1/verify` takes it."""
    return {"template_id": side} if isinstance(side, str) else side.body()
