"""What clients may say on the live channel."""

from typing import Annotated, Any

import msgspec


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


def client_message(event: Any) -> ClientMessage:  # noqa: ANN401  # an ASGI message
    """What a `websocket.receive` says; an empty message for nonsense."""
    try:
        return _decoder.decode(event.get("text") or event.get("bytes") or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ClientMessage("")
