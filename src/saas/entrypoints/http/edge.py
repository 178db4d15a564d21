"""Before routing: request id, client address and rate limits. After it: the access log."""

import logging
import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl
from uuid import uuid4

from litestar.enums import ScopeType
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from litestar.utils import normalize_path

from saas.entrypoints.http.errors import HTTP_CODES, allowed_methods, reject
from saas.entrypoints.http.limits import RateLimiter, client_address
from saas.entrypoints.settings import RateLimit, Settings

access_log = logging.getLogger("saas.access")

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Edge:
    """The outermost ASGI application; all replies pass through it, those to unknown routes included."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], settings: Settings) -> None:
        self._app = app
        self._trusted = settings.trusted_proxies
        self._global = _limiter("default", settings.global_limit)
        self._auth = _limiter("auth", settings.auth_limit)
        # Litestar's own answer to OPTIONS lists only the method that a path had first.
        self._allow = {
            route.path_format: allowed_methods(route.methods).encode()
            for route in routes
            if isinstance(route, HTTPRoute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]  # Litestar types only the other two
            await self._app(scope, receive, send)
            return
        method = str(scope.get("method", "WEBSOCKET"))
        if method == "HEAD":  # RFC 9110, 9.3.2: handled like GET; the server omits the body
            scope = cast("HTTPScope", {**scope, "method": "GET"})
        headers = scope["headers"]
        request_id = _header(headers, b"x-request-id")
        if request_id is None or not _SANE_REQUEST_ID.fullmatch(request_id):
            request_id = uuid4().hex.encode()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        if scope["type"] == ScopeType.WEBSOCKET:
            state["query"] = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            scope["query_string"] = b""  # it may contain a token, and servers log it

        started = time.monotonic()
        extra = [(b"x-request-id", request_id)]
        status = 0

        async def send_with_headers(message: Any) -> None:  # noqa: ANN401  # any ASGI message
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                status = message.get("status", 101)
                headers = message.get("headers", ())
                if method == "OPTIONS" and "path_template" in scope:
                    allow = self._allow[scope["path_template"]]
                    headers = [(name, allow if name == b"allow" else value) for name, value in headers]
                message["headers"] = [*headers, *extra]
            await send(message)

        try:
            allowed, wait = self._count(scope, extra, started)
            if not allowed:
                detail = f"Too many requests. Try again in {wait} s."
                await reject(
                    scope,
                    send_with_headers,
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "too_many_requests",
                    detail,
                    headers={"Retry-After": str(wait)},
                )
            elif scope["type"] == ScopeType.WEBSOCKET and normalize_path(scope["path"]) != "/ws":
                # Litestar would close the socket before accepting it, which servers turn into an empty 403.
                await reject(scope, send_with_headers, HTTPStatus.NOT_FOUND, *HTTP_CODES[HTTPStatus.NOT_FOUND])
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            _log(method, scope["path"], status, started, request_id.decode())

    def _count(self, scope: Scope, extra: list[tuple[bytes, bytes]], now: float) -> tuple[bool, int]:
        """Count the request and add the limits' headers to `extra`. Returns whether it may pass and seconds to wait."""
        path = normalize_path(scope["path"])  # as routing does, so that "//api//auth/login" is counted too
        if path in ("/health", "/health/ready"):
            return True, 0
        limiters = [self._global]
        if path.startswith("/api/auth/") or path == "/api/users/accept-invite":  # all that take a password
            limiters.append(self._auth)
        counted = [limiter for limiter in limiters if limiter is not None]
        if not counted:
            return True, 0
        peer = scope["client"][0] if scope["client"] else ""
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = client_address(peer, forwarded, self._trusted)
        verdicts = [(limiter, limiter.hit(client, now)) for limiter in counted]
        extra.append((b"ratelimit-policy", ", ".join(limiter.policy for limiter in counted).encode()))
        extra.append((b"ratelimit", ", ".join(limiter.header(verdict) for limiter, verdict in verdicts).encode()))
        wait = max((verdict.reset_seconds for _, verdict in verdicts if not verdict.allowed), default=0)
        return wait == 0, wait


def _log(method: str, path: str, status: int, started: float, request_id: str) -> None:
    """Write a line to the access log, except for a health probe that was answered with 200."""
    if not (path.startswith("/health") and status == HTTPStatus.OK):
        access_log.info("%s %s %s %.1fms %s", method, path, status, (time.monotonic() - started) * 1000, request_id)


def _limiter(name: str, limit: RateLimit | None) -> RateLimiter | None:
    return RateLimiter(name, limit.requests, limit.seconds) if limit else None


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for each, value in headers if each == name), None)
