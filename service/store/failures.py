"""What a broken store means to those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import OutOfMemoryError, ReadOnlyError

from service.errors import StoreUnavailableError
from service.store.connection import CONNECTION_FAILURES


@contextmanager
def reporting_failures() -> Iterator[None]:
    """Every failure of a command becomes `StoreUnavailableError`."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreUnavailableError("The template store is full.") from error
    except ReadOnlyError as error:
        raise StoreUnavailableError("The template store is read-only.") from error
    except CONNECTION_FAILURES as error:
        raise StoreUnavailableError(f"The template store does not answer ({type(error).__name__}).") from error
