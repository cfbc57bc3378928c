"""Every answer that is no success is an RFC 9457 problem document, and they are all made here.

The codes of `service.errors` are joined by four that only HTTP knows: `route_not_found`, `method_not_allowed`,
`http_error` and `internal_error`. The table in `docs/errors.md` is tested against both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.answers import ProblemDocument, sample_entry
from service.errors import (
    CorefaceError,
    InvalidRequestError,
    InvalidVectorError,
    RefusedSetError,
    RequestError,
    ServiceError,
    SlowRequestError,
    UnauthenticatedError,
)
from service.observability.logs import describe_exception
from service.observability.request_context import request_id_of
from service.observability.request_observation import CLIENT_GONE_STATUS

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_REPORTED_FIELDS = 20


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """A problem that only HTTP knows."""

    status: int
    code: str
    title: str


ROUTE_NOT_FOUND = HttpProblem(404, "route_not_found", "No such route")
METHOD_NOT_ALLOWED = HttpProblem(405, "method_not_allowed", "Method not allowed")
HTTP_ERROR = HttpProblem(400, "http_error", "The request cannot be answered")
INTERNAL_ERROR = HttpProblem(500, "internal_error", "Internal error")
HTTP_PROBLEMS = (ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, HTTP_ERROR, INTERNAL_ERROR)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field."""

    pointer: str
    """JSON pointer as a URI fragment, or the name of a form field."""
    detail: str


class InvalidFieldsError(InvalidRequestError):
    """An invalid request that can say which fields are wrong."""

    def __init__(self, detail: str, fields: Sequence[FieldProblem]) -> None:
        super().__init__(detail)
        self.fields = tuple(fields)


class InvalidVectorFieldsError(InvalidVectorError):
    """The same of what is no vector by its form alone."""

    def __init__(self, detail: str, fields: Sequence[FieldProblem]) -> None:
        super().__init__(detail)
        self.fields = tuple(fields)


def problem_codes() -> set[str]:
    """All that may be answered."""
    codes = {problem.code for problem in HTTP_PROBLEMS}
    kinds: list[type[CorefaceError]] = [RequestError, ServiceError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "code" in vars(kind):
            codes.add(kind.code)
    return codes


def json_pointer(location: Sequence[str | int]) -> str:
    """`("samples", 0)` -> `#/samples/0` (RFC 6901, as a URI fragment without percent-encoding)."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:64] for part in location)


def note_problem(scope: Scope, code: str) -> None:
    """For the request's log line and metrics."""
    scope.setdefault("state", {})["problem_code"] = code


def problem_response(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem document, and a note of it."""
    note_problem(scope, code)
    document = ProblemDocument(
        type=f"urn:coreface:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id_of(scope),
    )
    body = orjson.dumps({**document.model_dump(exclude_unset=True), **(members or {})})
    return Response(body, status, dict(headers or {}), PROBLEM_MEDIA_TYPE)


def coreface_problem(scope: Scope, error: CorefaceError) -> Response:
    """The document of an error of the tree."""
    members: dict[str, object] = {}
    headers: dict[str, str] = {}
    if isinstance(error, RequestError) and error.side is not None:
        members["side"] = error.side
    if isinstance(error, RefusedSetError):
        members["samples"] = [sample_entry(report).model_dump(mode="json") for report in error.reports]
    if isinstance(error, InvalidFieldsError | InvalidVectorFieldsError):
        members["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in error.fields]
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="coreface"'
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, SlowRequestError):
        headers["Connection"] = "close"
    return problem_response(
        scope, error.status, error.code, error.title, error.detail, members=members, headers=headers
    )


def route_not_found(scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
    """The document for a path where there is nothing."""
    problem = ROUTE_NOT_FOUND
    detail = "There is nothing at this path; see /docs for the routes."
    return problem_response(scope, problem.status, problem.code, problem.title, detail, headers=headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every named error, and Starlette's and FastAPI's own, as a problem document."""
    app.add_exception_handler(CorefaceError, _on_coreface_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_client_gone)


async def _on_coreface_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CorefaceError)  # noqa: S101  (the signature is Starlette's)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        structlog.stdlib.get_logger("coreface.problem").warning("service_error", code=error.code, detail=error.detail)
    return coreface_problem(request.scope, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == HTTPStatus.NOT_FOUND:
        return route_not_found(request.scope, error.headers)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request)
        problem, detail = METHOD_NOT_ALLOWED, f"This path answers {headers['Allow']}."
    else:
        problem, detail = HTTP_ERROR, str(error.detail)
    return problem_response(request.scope, error.status_code, problem.code, problem.title, detail, headers=headers)


def _allowed_methods(request: Request) -> str:
    """All that the path answers; Starlette names those of the first of its routes alone."""
    routes: list[BaseRoute] = request.app.routes
    return ", ".join(
        method
        for method in HTTPMethod
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    )


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [FieldProblem(json_pointer(entry["loc"]), entry["msg"]) for entry in error.errors()[:MAX_REPORTED_FIELDS]]
    return coreface_problem(request.scope, InvalidFieldsError("The request has invalid fields; see `errors`.", fields))


async def _on_client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE_STATUS)


class UnexpectedErrorMiddleware:
    """The last line: an error that nobody named becomes `internal_error`, and its place goes to the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.stdlib.get_logger("coreface.problem")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            self._log.error("unexpected_error", **describe_exception(error))
            if started:
                raise  # half an answer is out: only closing the connection tells the client
            response = problem_response(
                scope,
                INTERNAL_ERROR.status,
                INTERNAL_ERROR.code,
                INTERNAL_ERROR.title,
                "Something went wrong here; the log has it under this request id.",
            )
            await response(scope, receive, send)
