"""Error replies: problem details (RFC 9457) that also have the keys of the simple envelope."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap, Scope, Send

from saas.domain.errors import InvalidValue, Kind, SaasError
from saas.domain.plans import Plan
from saas.domain.values import Role

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = "2"

STATUS_OF_KIND: Mapping[Kind, HTTPStatus] = {
    Kind.REFUSED: HTTPStatus.BAD_REQUEST,
    Kind.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.GONE: HTTPStatus.GONE,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

HTTP_CODES: Mapping[int, tuple[str, str]] = {
    400: ("malformed_request", "The request could not be read."),
    404: ("no_such_route", "There is nothing at this address. The routes are listed at /docs."),
    405: ("method_not_allowed", "This address does not take that method; see the Allow header."),
    408: ("request_timeout", "The request did not arrive completely in time. Send it again."),
    413: ("body_too_large", "The body may be at most 256 KiB."),
    415: ("unsupported_media_type", "Send JSON, with Content-Type: application/json."),
    426: ("upgrade_required", "Connect with a WebSocket client."),
    429: ("too_many_requests", "Too many requests. Wait for the seconds in Retry-After."),
    431: ("headers_too_large", "The address and all headers may have at most 64 KiB together."),
    503: ("unavailable", "The service is restarting. Try again in a few seconds."),
}


_CHOICES: Mapping[str, type[StrEnum]] = {"plan": Plan, "role": Role}

_MISSING = re.compile(r"missing required field `([^`]+)`")


class FieldError(msgspec.Struct, frozen=True):
    """One field of the request that breaks a rule, and how."""

    field: str
    message: str


NO_BODY = FieldError("body", "'data'")
"""The error that Litestar reports when a request has no body and the handler requires one."""


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """The body of every refusal; `code` is stable, `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    message: str
    success: bool = False
    data: None = None
    errors: Sequence[FieldError] | msgspec.UnsetType = msgspec.UNSET


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] | msgspec.UnsetType = msgspec.UNSET,
) -> Response[bytes]:
    """The reply for a refusal, with the headers that its status requires."""
    body, headers = _described(scope, status, code, detail, errors)
    return Response(body, status_code=status, media_type=PROBLEM_JSON, headers=headers)


async def reject(
    scope: Scope, send: Send, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
) -> None:
    """Refuse outside a route: before routing, or a WebSocket's handshake (ASGI extension `websocket.http.response`)."""
    body, status_headers = _described(scope, status, code, detail, msgspec.UNSET)
    kind = "http.response" if scope["type"] == ScopeType.HTTP else "websocket.http.response"
    described = {"Content-Type": PROBLEM_JSON, "Content-Length": str(len(body)), **status_headers, **(headers or {})}
    raw_headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in described.items()]
    start: Any = {"type": f"{kind}.start", "status": status, "headers": raw_headers}
    end: Any = {"type": f"{kind}.body", "body": body, "more_body": False}
    await send(start)
    await send(end)


def _described(
    scope: Scope, status: int, code: str, detail: str, errors: Sequence[FieldError] | msgspec.UnsetType
) -> tuple[bytes, dict[str, str]]:
    body = problem_document(scope["state"]["request_id"], status, code, detail, errors)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, 3
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_SECONDS
    return body, headers


def problem_document(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] | msgspec.UnsetType = msgspec.UNSET,
) -> bytes:
    """The body of a refusal."""
    document = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=int(status),
        detail=detail,
        code=code,
        request_id=request_id,
        message=detail,
        errors=errors,
    )
    return msgspec.json.encode(document)


def _refused(request: Request[Any, Any, Any], error: SaasError) -> Response[bytes]:
    if isinstance(error, InvalidValue):
        return _broken_rules(request, [FieldError(error.field, str(error))])
    return problem(request.scope, STATUS_OF_KIND[error.kind], error.code, str(error))


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    found = error.extra if isinstance(error.extra, list) else []
    errors = [_field_error(str(each.get("key", "data")), str(each.get("message", ""))) for each in found]
    if errors == [NO_BODY]:
        return problem(request.scope, 400, "malformed_request", "A JSON body is required.")
    return _broken_rules(request, errors)


def _broken_rules(request: Request[Any, Any, Any], errors: Sequence[FieldError]) -> Response[bytes]:
    detail = "; ".join(f"{each.field}: {each.message}" for each in errors) or "The request breaks a rule."
    return problem(request.scope, STATUS_OF_KIND[InvalidValue.kind], InvalidValue.code, detail, errors)


def _field_error(key: str, message: str) -> FieldError:
    """Litestar's message with the field's name in `field`, where clients look for it."""
    missing = _MISSING.search(message)
    path = [part for part in (key, missing[1] if missing else "") if part and part != "data"]
    field = ".".join(path) or "body"
    if message.startswith("Invalid enum value") and field in _CHOICES:
        message = f"Must be one of {', '.join(_CHOICES[field])}, in capital letters."
    return FieldError(field, "Required." if missing else message)


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code not in HTTP_CODES:  # a failure of Litestar itself, which no client can cause
        return _broken(request, error)
    code, detail = HTTP_CODES[error.status_code]
    if error.status_code == HTTPStatus.BAD_REQUEST and error.detail:
        detail = error.detail
    response = problem(request.scope, error.status_code, code, detail)
    headers = dict(error.headers or {})
    if "allow" in headers:
        headers["allow"] = allowed_methods(headers["allow"].split(", "))
    response.headers.update(headers)
    return response


def allowed_methods(listed: Iterable[str]) -> str:
    """The Allow header: sorted, with HEAD where GET is allowed and without WebSocket, which is not a method."""
    methods = {method for method in listed if method.isupper()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _broken(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    logger.error(
        "%s %s failed, request %s",
        request.method,
        request.scope["path"],
        request.scope["state"]["request_id"],
        exc_info=error,
    )
    detail = "Something went wrong on our side. If it stays, report the requestId."
    return problem(request.scope, 500, "internal_error", detail)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    SaasError: _refused,
    ValidationException: _invalid,
    HTTPException: _http,
    Exception: _broken,
}


ANY_ROUTE = (429, 500, 503)


def problems(*statuses: int, anywhere: tuple[int, ...] = ANY_ROUTE) -> dict[int, ResponseSpec]:
    """The refusals of a route, for its API description; `anywhere` has those that every route may give."""
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, media_type=PROBLEM_JSON, description=HTTPStatus(status).phrase
        )
        for status in sorted({*statuses, *anywhere})
    }
