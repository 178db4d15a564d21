"""The driver as we use it: URLs are read as libpq reads them, and who cannot connect or part is not waited for."""

import socket
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

DIALECT = "postgresql+asyncpg://"
"""All that SQLAlchemy is to know of the URL."""

CLOSE_SECONDS = 0.25

_HINT = "special characters in its password must be percent-encoded, such as %40 for @ and %2F for /"

_UNKNOWN_TO_ASYNCPG = {
    "channel_binding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "require_auth",
    "schema",  # not libpq's: what other frameworks add to the URLs that people copy
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
}
"""It would send these to the server as settings, which the server does not know."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg's annotations are not for mypy
    """A connection that is given up when it does not part quickly."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the driver's signature
        """SQLAlchemy closes what was interrupted, and would wait 2 s for a network that swallows everything."""
        await super().close(timeout=CLOSE_SECONDS)


async def connect(url: str, **options: Any) -> Connection:  # noqa: ANN401 - asyncpg's own
    """Raises `OSError` (a `TimeoutError` included), whatever it is that keeps us out."""
    parts = urlsplit(url)
    query = [
        ("sslmode" if name == "ssl" else name, value)
        for name, value in parse_qsl(parts.query)
        if name not in _UNKNOWN_TO_ASYNCPG
    ]
    dsn = parts._replace(scheme="postgresql", query=urlencode(query)).geturl()
    try:
        connection: Connection = await asyncpg.connect(dsn, connection_class=Connection, **options)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConnectionError(str(error)) from error
    except ValueError:  # whose message shows a part of the URL, perhaps of the password
        raise ConnectionError(f"its URL cannot be read; {_HINT}") from None
    except socket.gaierror as error:  # the host may be what follows an @ or / of the password
        raise ConnectionError(f"{error.strerror}; {_HINT}") from error
    return connection
