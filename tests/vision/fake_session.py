"""A network that answers what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Answer = Callable[[Mapping[str, NDArray[np.generic]]], list[NDArray[np.generic]]]


class FakeSession:
    """Keeps the inputs of every pass and answers with `answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.passes: list[Mapping[str, NDArray[np.generic]]] = []

    @property
    def provider(self) -> str:
        return "FakeExecutionProvider"

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("image",)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        self.passes.append(inputs)
        return self._answer(inputs)
