"""What becomes of an exception on its way to the client."""

import logging
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from litestar import Litestar, get
from litestar.exceptions import HTTPException, InternalServerException, NotFoundException

from saas.entrypoints.http.edge import Edge
from saas.entrypoints.http.errors import EXCEPTION_HANDLERS
from saas.entrypoints.settings import Settings


async def reply_to(error: Exception) -> httpx.Response:
    @get("/")
    async def route() -> None:
        raise error

    app: Any = Litestar([route], exception_handlers=EXCEPTION_HANDLERS, openapi_config=None, logging_config=None)

    async def behind_an_edge(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - whatever ASGI has
        scope["state"] = {"request_id": "r-1"}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(behind_an_edge)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), InternalServerException("secret"), HTTPException("secret", status_code=507)]
)
async def test_a_failure_is_logged_and_answered_without_its_reason(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await reply_to(error)

    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret" not in reply.text
    [record] = [record for record in caplog.records if record.name.startswith("saas")]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "GET / failed, request r-1"
    assert record.exc_info
    assert record.exc_info[1] is error


async def test_what_a_client_could_cause_is_a_refusal_and_not_logged_as_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = await reply_to(NotFoundException("secret"))

    assert (reply.status_code, reply.json()["code"]) == (404, "no_such_route")
    assert not [record for record in caplog.records if record.name.startswith("saas")]


async def test_a_request_is_in_the_access_log_even_if_nothing_could_be_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(*_: object) -> None:
        raise RuntimeError

    edge = Edge(app, [], Settings.from_environment({}))
    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("192.0.2.1", 1)}

    with caplog.at_level(logging.INFO), pytest.raises(RuntimeError):
        await edge(scope, AsyncMock(), AsyncMock())

    assert [record.getMessage()[:8] for record in caplog.records] == ["GET / 0 "]
