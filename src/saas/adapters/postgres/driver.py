"""The driver as we use it: URLs are read as libpq reads them, and connecting or closing never blocks for long."""

import socket
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

DIALECT = "postgresql+asyncpg://"
"""The part of the URL that SQLAlchemy gets."""

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
    "schema",  # not libpq's; other frameworks add it to the URLs that people copy
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
}
"""asyncpg would send these to the server as settings, which the server does not know."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg's annotations are not for mypy
    """A connection that is dropped when it does not close within `CLOSE_SECONDS`."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the driver's signature
        """SQLAlchemy closes interrupted connections, and would wait 2 s for a network that drops every packet."""
        await super().close(timeout=CLOSE_SECONDS)


async def connect(url: str, **options: Any) -> Connection:  # noqa: ANN401 - asyncpg's own
    """Open a connection. Raises `OSError` (a `TimeoutError` included) for whatever reason there is none."""
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
    except ValueError:  # its message shows a part of the URL, perhaps of the password
        raise ConnectionError(f"its URL cannot be read; {_HINT}") from None
    except socket.gaierror as error:  # the "host" may be the part of the password after an @ or /
        raise ConnectionError(f"{error.strerror}; {_HINT}") from error
    return connection
