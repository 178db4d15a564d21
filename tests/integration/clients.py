"""Clients for tests: a person over HTTP, and a WebSocket client that keeps every frame."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PASSWORD = "correct horse battery"


def fresh_email(name: str = "user") -> str:
    return f"{name.lower()}.{secrets.token_hex(6)}@example.test"


@dataclass
class Person:
    """A signed-in person, and the requests that they can make."""

    http: httpx.AsyncClient
    id: str
    email: str
    access_token: str
    refresh_token: str
    organisation: dict[str, Any]

    async def ask(self, method: str, path: str, body: object | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.access_token}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def data(self, method: str, path: str, body: object | None = None) -> Any:  # noqa: ANN401  # JSON
        reply = await self.ask(method, path, body)
        assert reply.is_success, reply.text
        return reply.json()["data"]

    async def refresh(self) -> None:
        """Replace the tokens with the next pair."""
        reply = await self.http.post("/api/auth/refresh", json={"refreshToken": self.refresh_token})
        assert reply.status_code == 200, reply.text
        self.access_token = reply.json()["data"]["accessToken"]
        self.refresh_token = reply.json()["data"]["refreshToken"]

    async def invite(self, email: str | None = None, role: str = "MEMBER") -> dict[str, Any]:
        invite: dict[str, Any] = await self.data(
            "POST", "/api/users/invite", {"email": email or fresh_email("guest"), "role": role}
        )
        return invite

    async def broadcast(self, message: str) -> dict[str, Any]:
        activity: dict[str, Any] = await self.data("POST", "/api/organisations/broadcast", {"message": message})
        return activity

    async def feed(self) -> list[dict[str, Any]]:
        """The whole feed, oldest first."""
        entries: list[dict[str, Any]] = []
        cursor = ""
        while True:
            reply = await self.ask("GET", f"/api/activities?limit=200{cursor}")
            assert reply.status_code == 200, reply.text
            entries += reply.json()["data"]
            following = reply.json()["meta"]["nextCursor"]
            if following is None:
                return entries[::-1]
            cursor = f"&cursor={following}"


async def register(http: httpx.AsyncClient, name: str = "Ada", organisation: str = "Acme") -> Person:
    body = {"name": name, "email": fresh_email(name), "password": PASSWORD, "organisationName": organisation}
    reply = await http.post("/api/auth/register", json=body)
    assert reply.status_code == 201, reply.text
    return person(http, reply.json()["data"])


async def log_in(http: httpx.AsyncClient, email: str, **body: str) -> Person:
    reply = await http.post("/api/auth/login", json={"email": email, "password": PASSWORD, **body})
    assert reply.status_code == 200, reply.text
    return person(http, reply.json()["data"])


async def accept(http: httpx.AsyncClient, invite: dict[str, Any], name: str = "Bo") -> httpx.Response:
    return await http.post(
        "/api/users/accept-invite", json={"token": invite["token"], "name": name, "password": PASSWORD}
    )


async def join(admin: Person, name: str = "Bo", role: str = "MEMBER") -> Person:
    """A new member of the admin's organisation, signed in."""
    invite = await admin.invite(fresh_email(name), role)
    reply = await accept(admin.http, invite, name)
    assert reply.status_code == 201, reply.text
    return await log_in(admin.http, invite["email"])


def person(http: httpx.AsyncClient, data: dict[str, Any]) -> Person:
    return Person(
        http, data["user"]["id"], data["user"]["email"], data["accessToken"], data["refreshToken"], data["organisation"]
    )


@dataclass
class Socket:
    """An open socket; `frames` has all frames that it received, CONNECTED first."""

    connection: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, seconds: float = 30) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        self.frames.append(frame)
        return frame

    async def until(self, type_: str, seconds: float = 30) -> dict[str, Any]:
        """The next frame of this type; the frames before it are in `frames`."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.next(seconds)
                if frame["type"] == type_:
                    return frame

    async def say(self, type_: str, **payload: object) -> None:
        await self.connection.send(json.dumps({"type": type_, "payload": payload}))

    async def closed(self, seconds: float = 30) -> tuple[int, list[dict[str, Any]]]:
        """The close code, and the frames that came before it."""
        before: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            try:
                while True:
                    before.append(json.loads(await self.connection.recv()))
            except ConnectionClosed:
                pass
        assert self.connection.close_code is not None
        self.frames += before
        return self.connection.close_code, before


@asynccontextmanager
async def listening(url: str, token: str, query: str = "", **options: Any) -> AsyncIterator[Socket]:  # noqa: ANN401  # what the client library takes
    """A socket opened with `token`, after its CONNECTED."""
    options.setdefault("compression", None)
    async with connect(f"{url}?token={token}{query}", max_queue=None, **options) as connection:
        socket = Socket(connection)
        connected = await socket.next()
        assert connected["type"] == "CONNECTED", connected
        yield socket
