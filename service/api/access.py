"""Who sent this request, and whether the route is theirs to use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Request

from service.access.authentication import Authenticator
from service.access.callers import Caller, Scope


async def authenticated(request: Request) -> Caller:
    """Raises `UnauthenticatedError`, `StoreUnavailableError`."""
    authenticator = cast(Authenticator, request.app.state.parts.authenticator)
    return await authenticator.authenticate(request.headers.getlist("authorization"))


CurrentCaller = Annotated[Caller, Depends(authenticated)]


def allowing(scope: Scope) -> Callable[[Caller], Awaitable[None]]:
    """A dependency of routes that need this scope. It raises `InsufficientScopeError` before the body is read."""

    async def allow(caller: CurrentCaller) -> None:
        caller.require(scope)

    return allow
