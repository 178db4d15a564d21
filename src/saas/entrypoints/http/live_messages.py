"""The messages that clients may send on the live channel, and how many."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from saas.adapters.websocket.entrance import Cursor

FLOOD_MESSAGES = 60
FLOOD_SECONDS = 10.0


class AuthPayload(msgspec.Struct, frozen=True):
    """An access token, and the place to resume from."""

    token: str
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    epoch: str | None = None


class PingPayload(msgspec.Struct, frozen=True):
    """Asks for a PONG; the payload may be left out."""


class Auth(msgspec.Struct, frozen=True, tag_field="type", tag="AUTH"):
    """Authenticates the client: in its first message, and again before the token expires."""

    payload: AuthPayload


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="PING"):
    """Asks for a PONG."""

    payload: PingPayload = PingPayload()


class Nonsense(msgspec.Struct, frozen=True):
    """Any other message."""


ClientMessage = Auth | Ping | Nonsense

_decoder: msgspec.json.Decoder[Auth | Ping] = msgspec.json.Decoder(Auth | Ping)


def cursor(query: Mapping[str, str]) -> Cursor | None:
    """The place to resume from, as the query says. Raises `ValueError` when `after` is not a whole number >= 0."""
    if (after := query.get("after")) is None:
        return None
    if not (after.isascii() and after.isdecimal()):
        raise ValueError(after)
    return Cursor(int(after), query.get("epoch"))


def client_message(event: Any) -> ClientMessage:  # noqa: ANN401  # an ASGI message
    """The message in a `websocket.receive` event."""
    try:
        return _decoder.decode(event.get("text") or event.get("bytes") or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Nonsense()


class Quota:
    """How many messages a socket may still send: `FLOOD_MESSAGES` in each `FLOOD_SECONDS`."""

    def __init__(self) -> None:
        self._said = 0
        self._window_ends = 0.0

    def is_exceeded(self, now: float) -> bool:
        """Count one message at `now`, in seconds of a monotonic clock. Returns True when it is one too many."""
        if now >= self._window_ends:
            self._said, self._window_ends = 0, now + FLOOD_SECONDS
        self._said += 1
        return self._said > FLOOD_MESSAGES
