"""What a broken store, or one that does not have it any more, means to those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import RequestError, StoreUnavailableError, TemplateErasedError, TemplateNotFoundError
from service.observability.store_calls import StoreCall, observed_store_call
from service.store.connection import CONNECTION_FAILURES


@contextmanager
def reporting_failures(operation: str | None = None) -> Iterator[None]:
    """Every failure of a command becomes `StoreUnavailableError`. `operation`: what requests wait for, under the name
    that metrics and traces give it; None: what no request waits for."""
    with nullcontext(StoreCall()) if operation is None else observed_store_call(operation) as call:
        try:
            yield
        except OutOfMemoryError as error:
            call.failure = "full"
            raise StoreUnavailableError("The template store is full.") from error
        except ReadOnlyError as error:
            call.failure = "read_only"
            raise StoreUnavailableError("The template store is read-only.") from error
        except CONNECTION_FAILURES as error:
            call.failure = _kind(error)
            raise StoreUnavailableError(f"The template store does not answer ({type(error).__name__}).") from error


def absent_template(template_id: str, layout: object) -> RequestError:
    """Why there is no template under this id; `layout` is what the store has left of it."""
    if layout is None:
        return TemplateNotFoundError("No template has this id; it may have expired.")
    return TemplateErasedError(f"Template {template_id} was erased.")


def _kind(error: Exception) -> str:
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "slow"
    if isinstance(error, RedisConnectionError | OSError):
        return "unreachable"
    return "refused"
