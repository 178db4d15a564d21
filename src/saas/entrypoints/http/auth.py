"""Authentication: the access token (RFC 6750) is exchanged for an `Actor` before the rest of the request is read."""

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from saas.application.authenticate import Authenticate
from saas.domain.errors import NotAuthenticated


def bearer_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The token in the Authorization header, if there is one."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def require_actor(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: prove the actor and store it in the scope. Raises `NotAuthenticated`, `SessionEnded` or `Unavailable`."""
    token = bearer_token(connection)
    if not token:
        is_there = bool(connection.headers.get("authorization"))
        advice = "The Authorization header must start with Bearer" if is_there else "Send an access token"
        raise NotAuthenticated(f"{advice}: Authorization: Bearer <accessToken>.")
    authenticate: Authenticate = connection.app.state.use_cases.authenticate
    connection.scope["user"] = await authenticate(token)


def is_foreign(socket: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a page of another host opened this socket, by the browser's Origin header (RFC 6455, 10.2)."""
    origin = socket.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != socket.headers.get("host", "").lower()
    except ValueError:  # an unreadable Origin cannot be ours
        return True
