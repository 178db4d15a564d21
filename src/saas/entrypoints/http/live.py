"""/ws: the handshake, what clients may say, and when to part. What they hear is written by the rooms."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import WebSocket, get, websocket
from litestar.exceptions import HTTPException

from saas.adapters.websocket.asgi_line import AsgiLine
from saas.adapters.websocket.entrance import Cursor
from saas.adapters.websocket.frames import PONG_FRAME, AuthenticatedPayload, Close, ErrorPayload, control_frame
from saas.adapters.websocket.protocol import LINE
from saas.adapters.websocket.registry import FullError
from saas.adapters.websocket.rooms import Room
from saas.adapters.websocket.sockets import Line, LiveSocket
from saas.domain.errors import NotAuthenticated, SaasError, Unavailable
from saas.entrypoints.composition import Service
from saas.entrypoints.http.auth import bearer_token
from saas.entrypoints.http.dependencies import CurrentService
from saas.entrypoints.http.errors import STATUS_OF_KIND, reject

AUTH_SECONDS = 5.0
FLOOD_MESSAGES = 60
FLOOD_SECONDS = 10.0

Socket = WebSocket[Any, Any, Any]


class AuthPayload(msgspec.Struct, frozen=True):
    """An access token, and where to resume."""

    token: str = ""
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    epoch: str | None = None


class ClientMessage(msgspec.Struct, frozen=True):
    """What a client says: PING, or AUTH with its payload."""

    type: str
    payload: AuthPayload = AuthPayload()


_decoder = msgspec.json.Decoder(ClientMessage)


class UpgradeRequiredError(HTTPException):
    """The live channel speaks WebSocket only."""

    status_code = 426


@get("/ws", include_in_schema=False)
async def plain_get() -> None:
    """Answer a request without an upgrade (RFC 9110, 15.5.22)."""
    raise UpgradeRequiredError(headers={"Upgrade": "websocket", "Connection": "Upgrade"})


@websocket("/ws")
async def live(socket: Socket, service: CurrentService) -> None:
    """One connection from handshake to end."""
    query: Mapping[str, str] = socket.scope["state"]["query"]
    if _is_foreign(socket):
        await reject(socket.scope, socket.send, 403, "foreign_origin", "Pages of another site may not connect.")
        return
    try:
        cursor = Cursor(_seq(query["after"]), query.get("epoch")) if "after" in query else None
    except ValueError:
        await reject(socket.scope, socket.send, 400, "malformed_request", "`after` must be a whole number, a seq.")
        return
    if service.draining:
        await reject(socket.scope, socket.send, 503, "unavailable", "This process is about to restart; try again.")
        return
    conversation = _Conversation(socket, service, cursor)
    try:
        token = query.get("token") or bearer_token(socket)
        opened = await conversation.open_by_handshake(token) if token else await conversation.open_by_message()
        if opened:
            await conversation.listen()
    finally:
        conversation.end()
    await conversation.parted()


class _Conversation:
    """What is said on one socket."""

    def __init__(self, socket: Socket, service: Service, cursor: Cursor | None) -> None:
        self._socket = socket
        self._service = service
        self._cursor = cursor
        extensions: dict[str, Any] = socket.scope["extensions"] or {}
        self._line: Line = extensions.get(LINE) or AsgiLine(socket.send)
        self._live: LiveSocket | None = None
        self._said = 0
        self._window_ends = 0.0

    async def open_by_handshake(self, token: str) -> bool:
        """Accept a proven client, refuse another with 401; whether it went well."""
        try:
            live, room = await self._enter(token)
        except FullError:
            await self._accept()
            self._line.close(Close.FULL, "Too many connections; try again later")
            return False
        except SaasError as error:
            await reject(self._socket.scope, self._socket.send, STATUS_OF_KIND[error.kind], error.code, str(error))
            return False
        await self._accept()
        return await self._admit(live, room)

    async def open_by_message(self) -> bool:
        """Accept anybody, and part unless AUTH proves them in time; whether it went well."""
        await self._accept()
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                message = await self._next()
        except TimeoutError:
            self._line.close(Close.SESSION_ENDED, "Authenticate within 5 s")
            return False
        if message is None:
            return False
        payload = message.payload
        if payload.after is not None:
            self._cursor = Cursor(payload.after, payload.epoch)
        try:
            if message.type != "AUTH":
                raise NotAuthenticated("The first message must be AUTH")  # refused like a bad token
            live, room = await self._enter(payload.token)
        except FullError:
            self._line.close(Close.FULL, "Too many connections; try again later")
            return False
        except Unavailable:
            self._line.close(Close.FULL, "Not available right now; try again later")
            return False
        except SaasError as error:
            self._line.close(Close.SESSION_ENDED, str(error))
            return False
        return await self._admit(live, room)

    async def listen(self) -> None:
        """Answer what the client says until it, or we, have had enough."""
        assert self._live is not None  # noqa: S101  # opened before
        while (message := await self._next()) is not None:
            if message.type == "PING":
                self._live.write(PONG_FRAME)
            elif message.type == "AUTH":
                await self._renew(self._live, message.payload.token)
            else:
                self._live.write(control_frame(ErrorPayload("Say PING, or AUTH with a token.")))

    def end(self) -> None:
        """The connection is over; to be called however it went."""
        if self._live is not None:
            self._service.registry.remove(self._live)

    async def _accept(self) -> None:
        await self._socket.accept()
        self._line.opened()

    async def parted(self) -> None:
        """What was said last is on its way."""
        await self._line.parted()

    async def _enter(self, token: str) -> tuple[LiveSocket, Room]:
        """Make the socket known, then prove its actor, so that an ending in between is not missed."""
        authenticate = self._service.use_cases.authenticate
        claims = authenticate.claims(token)
        live = LiveSocket(self._line, claims.user_id, claims.organisation_id, claims.session_id, claims.expires_at)
        room = await self._service.entrance.expect(live)
        self._live = live
        await authenticate.prove(claims)
        return live, room

    async def _admit(self, live: LiveSocket, room: Room) -> bool:
        if live.ending is not None:
            self._line.close(*live.ending)
            return False
        try:
            await self._service.entrance.admit(live, room, self._cursor)
        except Unavailable:
            live.close(Close.FULL, "Not available right now; try again later")
            return False
        return True

    async def _renew(self, live: LiveSocket, token: str) -> None:
        """Go on with a newer token of the same person in the same organisation."""
        authenticate = self._service.use_cases.authenticate
        try:
            claims = authenticate.claims(token)
            if (claims.user_id, claims.organisation_id) != (live.user_id, live.organisation_id):
                raise NotAuthenticated("The token is somebody else's")  # refused like a bad token
            self._service.registry.move(live, claims.session_id)
            await authenticate.prove(claims)
        except Unavailable:
            live.write(control_frame(ErrorPayload("Not available right now; send AUTH again in a few seconds.")))
        except SaasError as error:
            live.close(Close.SESSION_ENDED, str(error))
        else:
            live.expires_at = claims.expires_at
            live.write(control_frame(AuthenticatedPayload(claims.expires_at)))

    async def _next(self) -> ClientMessage | None:
        """What the client says next, an empty message for nonsense; None once the connection is over."""
        event: Any = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            return None
        now = asyncio.get_running_loop().time()
        if now >= self._window_ends:
            self._said, self._window_ends = 0, now + FLOOD_SECONDS
        self._said += 1
        if self._said > FLOOD_MESSAGES:
            self._close(Close.POLICY, "Too many messages")
            return None
        try:
            return _decoder.decode(event.get("text") or event.get("bytes") or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ClientMessage("")

    def _close(self, code: Close, reason: str) -> None:
        if self._live is not None:
            self._live.close(code, reason)
        else:
            self._line.close(code, reason)


def _seq(text: str) -> int:
    """Raises `ValueError` for anything but a whole number from 0 on."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)


def _is_foreign(socket: Socket) -> bool:
    """Whether a browser says that a page of another host opened this (RFC 6455, 10.2)."""
    origin = socket.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != socket.headers.get("host", "").lower()
