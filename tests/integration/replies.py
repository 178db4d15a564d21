"""Checks of the form of replies: envelopes and problem documents."""

import re
from http import HTTPStatus
from typing import Any

import httpx

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""A UUIDv7 (RFC 9562, 5.7)."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
"""RFC 3339 in UTC."""

PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "requestId", "success", "message", "data"}


def granted(reply: httpx.Response, status: int = 200) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Checks the envelope of a success that is no list. Returns its `data`."""
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json"), reply.text
    envelope = reply.json()
    assert envelope.keys() == {"success", "message", "data"}
    assert envelope["success"] is True
    assert isinstance(envelope["message"], str)
    assert envelope["message"]
    return envelope["data"]


def listed(reply: httpx.Response) -> tuple[list[dict[str, Any]], str | None]:
    """Checks the envelope of a list. Returns its `data` and its `nextCursor`."""
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json"), reply.text
    envelope = reply.json()
    assert envelope.keys() == {"success", "message", "data", "meta"}
    assert envelope["success"] is True
    assert envelope["meta"].keys() == {"nextCursor"}
    return envelope["data"], envelope["meta"]["nextCursor"]


def refused(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Checks that a reply is the problem document of this refusal. Returns the document."""
    assert reply.status_code == status, reply.text
    problem = well_refused(reply)
    assert problem["code"] == code
    return problem


def well_refused(reply: httpx.Response) -> dict[str, Any]:
    """Checks that a reply is a correct problem document, of any refusal. Returns the document."""
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    problem: dict[str, Any] = reply.json()
    assert problem.keys() == PROBLEM_KEYS | ({"errors"} if reply.status_code == 422 else set())
    assert (problem["type"], problem["title"]) == ("about:blank", HTTPStatus(reply.status_code).phrase)
    assert (problem["success"], problem["data"]) == (False, None)
    assert problem["status"] == reply.status_code
    assert problem["message"] == problem["detail"] != ""
    assert problem["requestId"] == reply.headers["x-request-id"] != ""
    assert (reply.headers.get("www-authenticate") == "Bearer") == (reply.status_code == 401)
    for error in problem.get("errors", ()):
        assert error.keys() == {"field", "message"}
        assert all(isinstance(text, str) and text for text in error.values())
    return problem
