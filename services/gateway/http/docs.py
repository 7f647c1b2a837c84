"""The API's own documentation: OpenAPI 3.1 and Swagger UI, with every asset served from here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from libs.kernel.errors import NotFound
from services.gateway.http.doors import open_door
from services.gateway.http.problems import MEDIA_TYPE, Problem

router = APIRouter(include_in_schema=False)
_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
_START: Final = """\
window.ui = SwaggerUIBundle({
  url: "/api/v1/openapi.json", dom_id: "#swagger", deepLinking: true, persistAuthorization: true,
  displayOperationId: true, tryItOutEnabled: true,
});
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lightrail API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/api/v1/docs/swagger-ui.css"></head>
<body><div id="swagger"></div>
<script src="/api/v1/docs/swagger-ui-bundle.js"></script><script src="/api/v1/docs/start.js"></script></body></html>
"""
# Swagger UI writes style attributes and shows its icons as data: images.
_POLICY: Final = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
_WHY: Final = "the API's description is the same for everyone"


@router.get("/api/v1/openapi.json", dependencies=[open_door(_WHY)])
async def get_openapi_document(request: Request) -> Response:
    """The OpenAPI 3.1 document."""
    return JSONResponse(request.app.openapi())


@router.get("/api/v1/docs", dependencies=[open_door(_WHY)])
async def get_docs() -> Response:
    """Swagger UI."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/api/v1/docs/{name}", dependencies=[open_door(_WHY)])
async def get_docs_asset(name: str) -> Response:
    """Swagger UI's script and style."""
    if name not in _TYPES:
        raise NotFound(f"There is nothing at /api/v1/docs/{name[:80]}.")
    headers = {"Cache-Control": "public, max-age=3600"}
    if name == "start.js":
        return Response(_START, media_type=_TYPES[name], headers=headers)
    return FileResponse(assets() / name, media_type=_TYPES[name], headers=headers)


def assets() -> Path:
    """Where the wheel that carries Swagger UI keeps it; found without importing that package's code."""
    spec = find_spec("fastapi_swagger")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("The package fastapi-swagger, which carries Swagger UI, is not installed.")
    return Path(spec.submodule_search_locations[0]) / "resources"


def describe(app: Any, version: str) -> dict[str, Any]:  # noqa: ANN401 - FastAPI, whose openapi this replaces
    """The document: every call may fail with a problem document, and says so once."""
    document = get_openapi(
        title="Lightrail",
        version=version,
        openapi_version="3.1.0",
        summary="A self-hosted application platform: push code, get a live URL, on a machine you own.",
        description=(
            "Sign in with `POST /api/v1/login` or make a token, and send it as `Authorization: Bearer …`. "
            "Every failure is a problem document (RFC 9457). Lists come in pages: pass `next_cursor` back as `cursor`."
        ),
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_problem_schemas())
    components["responses"] = {
        "Problem": {
            "description": "Why the call failed.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    }
    for schema in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(schema, None)
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    return document


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    nested: dict[str, Any] = schema.pop("$defs", {})
    return {"Problem": schema, **nested}
