"""/ws: handshake, client messages and closing of one socket. `Room` writes the events."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from litestar import WebSocket, get, websocket
from litestar.exceptions import HTTPException
from websockets.frames import CloseCode

from saas.adapters.websocket.asgi_line import AsgiLine
from saas.adapters.websocket.entrance import Cursor
from saas.adapters.websocket.frames import PONG_FRAME, AuthenticatedPayload, Close, ErrorPayload, control_frame
from saas.adapters.websocket.protocol import LINE
from saas.adapters.websocket.registry import FullError
from saas.adapters.websocket.rooms import Room
from saas.adapters.websocket.sockets import Line, LiveSocket
from saas.application.actor import Claims
from saas.domain.errors import NotAuthenticated, SaasError, Unavailable
from saas.entrypoints.composition import Service
from saas.entrypoints.http.auth import bearer_token, is_foreign
from saas.entrypoints.http.dependencies import CurrentService
from saas.entrypoints.http.errors import STATUS_OF_KIND, reject
from saas.entrypoints.http.live_messages import Auth, ClientMessage, Ping, Quota, client_message, cursor

logger = logging.getLogger(__name__)

AUTH_SECONDS = 5.0

Socket = WebSocket[Any, Any, Any]


class UpgradeRequiredError(HTTPException):
    """The live channel is available over WebSocket only."""

    status_code = 426


@get("/ws", include_in_schema=False)
async def plain_get() -> None:
    """Answer a request without an upgrade with 426 (RFC 9110, 15.5.22)."""
    raise UpgradeRequiredError(headers={"Upgrade": "websocket", "Connection": "Upgrade"})


@websocket("/ws")
async def live(socket: Socket, service: CurrentService) -> None:
    """Serve one connection from its handshake to its end."""
    conversation = _Conversation(socket, service)
    try:
        await conversation.hold()
    except OSError:  # servers raise it when the connection is lost (ASGI 2.4)
        pass
    except Exception:
        request_id = socket.scope["state"]["request_id"]
        logger.exception("WEBSOCKET %s failed, request %s", socket.scope["path"], request_id)
        await conversation.fail()
    finally:
        conversation.end()
    await conversation.wait_closed()


class _Conversation:
    """Serves one socket: its handshake, the messages of its client, and its closing."""

    def __init__(self, socket: Socket, service: Service) -> None:
        self._socket = socket
        self._service = service
        self._query: Mapping[str, str] = socket.scope["state"]["query"]
        self._cursor: Cursor | None = None
        extensions: dict[str, Any] = socket.scope["extensions"] or {}
        self._line: Line = extensions.get(LINE) or AsgiLine(socket.send)
        self._is_accepted = False
        self._live: LiveSocket | None = None
        self._quota = Quota()

    async def hold(self) -> None:
        """Refuse the handshake, or serve the client until the connection is over."""
        if is_foreign(self._socket):
            await self._reject(403, "foreign_origin", "Pages of another site may not connect.")
            return
        try:
            self._cursor = cursor(self._query)
        except ValueError:
            await self._reject(400, "malformed_request", "`after` must be a whole number, a seq.")
            return
        if self._service.draining:
            await self._reject(503, "unavailable", "This process is about to restart; try again.")
            return
        token = self._query.get("token") or bearer_token(self._socket)
        entered = await self._open_by_handshake(token) if token else await self._open_by_message()
        if entered is not None:
            await self._serve(*entered)

    async def fail(self) -> None:
        """Report an internal error to the client: status 500 before the handshake, close code 1011 after it."""
        if self._is_accepted:
            self._line.close(CloseCode.INTERNAL_ERROR, "Something went wrong on our side; reconnect with after=<seq>")
        else:
            detail = "Something went wrong on our side. If it stays, report the requestId."
            await self._reject(500, "internal_error", detail)

    def end(self) -> None:
        """Unregister the socket; to be called once the connection is over, after errors too."""
        if self._live is not None:
            self._service.registry.remove(self._live)

    async def wait_closed(self) -> None:
        """Wait until the last frames have been sent."""
        await self._line.wait_closed()

    async def _reject(self, status: int, code: str, detail: str) -> None:
        await reject(self._socket.scope, self._socket.send, status, code, detail)

    async def _open_by_handshake(self, token: str) -> tuple[LiveSocket, Room] | None:
        """Accept the socket of a proven actor, refuse any other. Returns None when it was refused or closed."""
        try:
            entered = await self._enter(token)
        except FullError:
            await self._accept()
            self._line.close(Close.FULL, "Too many connections; try again later")
            return None
        except SaasError as error:
            await self._reject(STATUS_OF_KIND[error.kind], error.code, str(error))
            return None
        await self._accept()
        return entered

    async def _open_by_message(self) -> tuple[LiveSocket, Room] | None:
        """Accept the socket, then wait 5 s for AUTH. Returns None when the socket was closed."""
        await self._accept()
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                message = await self._next()
        except TimeoutError:
            self._line.close(Close.SESSION_ENDED, "Authenticate within 5 s")
            return None
        if message is None:
            return None
        if not isinstance(message, Auth):
            self._line.close(Close.SESSION_ENDED, "The first message must be AUTH, with a token")
            return None
        payload = message.payload
        if payload.after is not None:
            self._cursor = Cursor(payload.after, payload.epoch)
        try:
            return await self._enter(payload.token)
        except FullError:
            self._line.close(Close.FULL, "Too many connections; try again later")
        except Unavailable:
            self._line.close(Close.FULL, "Not available right now; try again later")
        except SaasError as error:
            self._line.close(Close.SESSION_ENDED, str(error))
        return None

    async def _serve(self, live: LiveSocket, room: Room) -> None:
        """Admit the socket and answer its client's messages at the same time, until the connection is over.

        An error in one task ends the other. The replay in `_admit` ends by itself once the connection is over.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._admit(live, room))  # the shorter of the two: an idle socket has one task
                await asyncio.sleep(0)  # the admission begins with CONNECTED, before any answer
                await self._listen(live)
        except* OSError:  # as above
            pass

    async def _listen(self, live: LiveSocket) -> None:
        """Answer the client's messages until the connection is over."""
        while (message := await self._next()) is not None:
            if isinstance(message, Ping):
                live.write(PONG_FRAME)
            elif isinstance(message, Auth):
                await self._renew(live, message.payload.token)
            else:
                live.write(control_frame(ErrorPayload("Say PING, or AUTH with a token.")))

    async def _accept(self) -> None:
        await self._socket.accept()
        self._is_accepted = True
        self._line.opened()

    async def _enter(self, token: str) -> tuple[LiveSocket, Room]:
        """Register the socket, then prove its actor, so that a removal or logout in between is not missed."""
        authenticate = self._service.use_cases.authenticate
        claims = authenticate.claims(token)
        live = LiveSocket(self._line, claims.user_id, claims.organisation_id, claims.session_id, claims.expires_at)
        room = await self._service.entrance.register(live)
        self._live = live
        await authenticate.prove(claims)
        return live, room

    async def _admit(self, live: LiveSocket, room: Room) -> None:
        if live.ending is not None:
            self._line.close(*live.ending)
            return
        try:
            await self._service.entrance.admit(live, room, self._cursor)
        except Unavailable:
            live.close(Close.FULL, "Not available right now; try again later")

    async def _renew(self, live: LiveSocket, token: str) -> None:
        """Continue the socket with a newer token of the same person in the same organisation."""
        try:
            claims = self._service.use_cases.authenticate.claims(token)
            if (claims.user_id, claims.organisation_id) != (live.user_id, live.organisation_id):
                raise NotAuthenticated("The token is somebody else's")  # closes the socket, as an invalid token does
            await self._prove_anew(live, claims)
        except Unavailable:
            live.write(control_frame(ErrorPayload("Not available right now; send AUTH again in a few seconds.")))
        except SaasError as error:
            live.close(Close.SESSION_ENDED, str(error))
        else:
            live.expires_at = claims.expires_at
            live.write(control_frame(AuthenticatedPayload(claims.expires_at)))

    async def _prove_anew(self, live: LiveSocket, claims: Claims) -> None:
        """Register the socket under the new session, then prove that; when this fails, go back to the old session."""
        registry, before = self._service.registry, live.session_id
        registry.move(live, claims.session_id)
        try:
            await self._service.use_cases.authenticate.prove(claims)
        except BaseException:
            registry.move(live, before)
            raise

    async def _next(self) -> ClientMessage | None:
        """The next message of the client; None once the connection is over."""
        event: Any = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            return None
        if self._quota.is_exceeded(asyncio.get_running_loop().time()):
            self._close(Close.POLICY, "Too many messages")
            return None
        return client_message(event)

    def _close(self, code: Close, reason: str) -> None:
        if self._live is not None:
            self._live.close(code, reason)
        else:
            self._line.close(code, reason)
