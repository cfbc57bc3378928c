"""Whether this process is about to stop, so that whoever sends it work can be told before the listener closes."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request


class Draining:
    """Of one application. Once announced it stays so."""

    def __init__(self) -> None:
        self._announced = False

    @property
    def announced(self) -> bool:
        return self._announced

    def announce(self) -> None:
        """From now on `/health/ready` answers 503; everything else is answered as before."""
        self._announced = True


def draining_of(app: FastAPI) -> Draining:
    """The one that `build_application` gave it."""
    return cast(Draining, app.state.draining)


async def _draining(request: Request) -> Draining:
    return draining_of(request.app)


ProcessDraining = Annotated[Draining, Depends(_draining)]
"""For routes."""
