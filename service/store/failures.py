"""What a broken store, or one that does not have it any more, means to those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import OutOfMemoryError, ReadOnlyError

from service.errors import RequestError, StoreUnavailableError, TemplateErasedError, TemplateNotFoundError
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


def absent_template(template_id: str, layout: object) -> RequestError:
    """Why there is no template under this id; `layout` is what the store has left of it."""
    if layout is None:
        return TemplateNotFoundError("No template has this id; it may have expired.")
    return TemplateErasedError(f"Template {template_id} was erased.")
