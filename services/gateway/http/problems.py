"""RFC 9457, once: every failure leaves the gateway as the same problem document."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound, Unavailable

# Where git speaks with the platform.
GIT: Final = "/git/"
MEDIA_TYPE: Final = "application/problem+json"
_STATUS: Final[dict[type[Failure], HTTPStatus]] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    Denied: HTTPStatus.FORBIDDEN,
    Exhausted: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_TITLES: Final = {
    HTTPStatus.BAD_REQUEST: "The request is malformed",
    HTTPStatus.UNAUTHORIZED: "Sign in first",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "No such method here",
    HTTPStatus.CONFLICT: "Not in this state",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Not this content type",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The input is wrong",
    HTTPStatus.TOO_MANY_REQUESTS: "A limit is reached",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The platform made a mistake",
    HTTPStatus.SERVICE_UNAVAILABLE: "Away for now",
}
_KINDS: Final = {
    HTTPStatus.UNAUTHORIZED: "denied",
    HTTPStatus.FORBIDDEN: "denied",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "exhausted",
    HTTPStatus.TOO_MANY_REQUESTS: "exhausted",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}
# Seconds a caller should wait before the same call is worth trying again.
RETRY_SOON: Final = 1


class FieldError(BaseModel):
    """One input that is wrong."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a call failed: `detail` says what happened and why, `hint` what to do next."""

    type: str
    title: str
    status: int
    detail: str
    # not_found, conflict, invalid, denied, exhausted, unavailable, or internal.
    kind: str
    hint: str | None = None
    field: str | None = None
    errors: list[FieldError] | None = None
    request_id: str | None = None


class TooLarge(Exhausted):
    """A body beyond its limit: 413 instead of 429."""


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    kind: str = "",
    hint: str | None = None,
    field: str | None = None,
    errors: Sequence[FieldError] | None = None,
    request_id: str | None = None,
) -> Problem:
    """Composes the document of a failure."""
    named = kind or _KINDS.get(status) or ("internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid")
    return Problem(
        type=f"urn:lightrail:problem:{named}",
        title=_TITLES.get(status, status.phrase),
        status=int(status),
        detail=detail,
        kind=named,
        hint=hint,
        field=field,
        errors=list(errors) if errors else None,
        request_id=request_id,
    )


def of_failure(failure: Failure, request_id: str | None = None) -> Problem:
    """The document of a Failure; its sentence is meant for people and goes out as it is."""
    status = next((_STATUS[kind] for kind in type(failure).__mro__ if kind in _STATUS), HTTPStatus.SERVICE_UNAVAILABLE)
    if isinstance(failure, TooLarge):
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if isinstance(failure, Denied) and failure.unauthenticated:
        status = HTTPStatus.UNAUTHORIZED
    return problem(
        status,
        failure.message,
        kind=failure.kind,
        hint=failure.hint,
        field=failure.field,
        request_id=request_id,
    )


def respond(document: Problem, headers: dict[str, str] | None = None) -> Response:
    """The document as a response."""
    sent = dict(headers or {})
    if document.status == HTTPStatus.UNAUTHORIZED:
        sent.setdefault("WWW-Authenticate", 'Bearer realm="lightrail"')
    if document.status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent.setdefault("Retry-After", str(RETRY_SOON))
    return JSONResponse(
        document.model_dump(mode="json", exclude_none=True),
        status_code=document.status,
        media_type=MEDIA_TYPE,
        headers=sent,
    )


def request_id_of(request: Request) -> str | None:
    """The id the guard gave this request."""
    value = request.scope.get("state", {}).get("request_id")
    return value if isinstance(value, str) else None


def install(app: FastAPI) -> None:
    """Makes every way to fail answer with a problem document."""
    app.add_exception_handler(Failure, _on_failure)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, _on_mistake)


async def _on_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)  # noqa: S101 - registered for Failure only
    if request.url.path.startswith(GIT):
        # git shows people what is plain text.
        status = of_failure(error).status
        return PlainTextResponse(f"{error}\n", status_code=status, headers=getattr(error, "headers", None))
    return respond(of_failure(error, request_id_of(request)), getattr(error, "headers", None))


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it only
    errors = [_field_error(row) for row in error.errors()]
    malformed = any(row.get("type") == "json_invalid" for row in error.errors())
    status = HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY
    first = errors[0] if errors else FieldError(field="body", message="It cannot be read.")
    detail = "The body is not JSON." if malformed else f"{first.field}: {first.message}"
    document = problem(
        status,
        detail,
        kind="invalid",
        field=first.field,
        errors=errors,
        hint="The fields of every call are at /api/v1/docs.",
        request_id=request_id_of(request),
    )
    return respond(document)


def _field_error(row: dict[str, Any]) -> FieldError:
    """Names the field as the caller wrote it; never repeats the value, which may be a secret."""
    path = [str(part) for part in row.get("loc", ()) if part not in ("body", "query", "path", "header", "cookie")]
    message = str(row.get("msg", "It is wrong.")).removeprefix("Value error, ")
    return FieldError(field=".".join(path) or "body", message=message)


async def on_http(request: Request, error: Exception) -> Response:
    """Answers what the framework itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it only
    status = HTTPStatus(error.status_code)
    path = request.url.path
    details = {
        HTTPStatus.NOT_FOUND: f"There is nothing at {path}.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} does not know the method {request.method}.",
        HTTPStatus.BAD_REQUEST: "The body cannot be read as JSON.",
    }
    detail = details.get(status, str(error.detail))
    hint = "Every call is listed at /api/v1/docs." if status in details else None
    document = problem(status, detail, hint=hint, request_id=request_id_of(request))
    return respond(document, dict(error.headers or {}))


async def _on_mistake(request: Request, _error: Exception) -> Response:
    # The guard writes it to the log.
    request_id = request_id_of(request)
    document = problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The platform made a mistake while answering; nothing of it is your fault.",
        hint=f"Tell the operator this request id: {request_id}.",
        request_id=request_id,
    )
    return respond(document)
