"""`/docs`: the page that shows the OpenAPI document, allowed to do no more than that."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

_SCRIPTS = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_FAVICON = "https://fastapi.tiangolo.com/img/favicon.png"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI comes from its content network; of the scripts in the page itself only these very ones may run."""
    page = get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title=request.app.title,
        swagger_js_url=f"{_SCRIPTS}swagger-ui-bundle.js",
        swagger_css_url=f"{_SCRIPTS}swagger-ui.css",
        swagger_favicon_url=_FAVICON,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body))
    return page


def _policy(page: bytes) -> str:
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE_SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {_SCRIPTS} {scripts}; style-src {_SCRIPTS} 'unsafe-inline'; "
        f"img-src data: blob: {_FAVICON}; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
