"""`/console`: pages over the API, for people. Files of the package as they are; they need no other host."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from service.api.problems import route_not_found

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    # They change with the service, and a browser asks whether they have.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

router = APIRouter(include_in_schema=False)


@router.get("/console")
async def console(request: Request) -> Response:
    """The one page."""
    return _answer(request, "index.html")


@router.get("/console/{name}")
async def console_file(request: Request, name: str) -> Response:
    """What the page is made of."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        return route_not_found(request.scope)
    content, media_type, tag = found
    headers = {**_HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[bytes, str, str]]:
    """By name: content, type and tag."""
    found = {}
    for file in files("service.console").iterdir():
        media_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            content = file.read_bytes()
            found[file.name] = content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return found
