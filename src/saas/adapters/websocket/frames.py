"""Events on the wire: an activity becomes one finished WebSocket frame, the same bytes for everyone."""

from enum import IntEnum
from typing import ClassVar, Literal

import msgspec

from saas.application.payloads import Moment, Payload
from saas.application.views import ActivityView
from saas.domain.values import ActivityId

_encoder = msgspec.json.Encoder()

_ONE_BYTE_LENGTH = 126
_TWO_BYTE_LENGTH = 65_536


class Close(IntEnum):
    """Close codes: RFC 6455, 7.4.1 below 4000, our own above."""

    PROTOCOL = 1002
    POLICY = 1008
    RESTARTING = 1012
    FULL = 1013
    SESSION_ENDED = 4401
    NOT_A_MEMBER = 4403
    TOO_SLOW = 4408


class ConnectedPayload(Payload, frozen=True):
    """The first frame: how far the log goes, and when the token expires."""

    type: ClassVar[str] = "CONNECTED"
    message: str
    seq: int
    epoch: str
    expires_at: Moment


ResyncReason = Literal["another_epoch", "ahead_of_the_log", "no_longer_kept"]


class ResyncPayload(Payload, frozen=True):
    """What was missed cannot be replayed: read it from the feed, then go on from `seq`."""

    type: ClassVar[str] = "RESYNC"
    message: str
    reason: ResyncReason
    seq: int
    epoch: str


class AuthenticatedPayload(Payload, frozen=True):
    """The answer to AUTH on an open channel, which now lasts until the new token expires."""

    type: ClassVar[str] = "AUTHENTICATED"
    expires_at: Moment


class PongPayload(Payload, frozen=True):
    """The answer to PING."""

    type: ClassVar[str] = "PONG"


class ErrorPayload(Payload, frozen=True):
    """The client sent a message that the channel does not know."""

    type: ClassVar[str] = "ERROR"
    message: str


ControlPayload = ConnectedPayload | ResyncPayload | AuthenticatedPayload | PongPayload | ErrorPayload


class _Message(msgspec.Struct, frozen=True):
    type: str
    payload: ControlPayload


class _ActivityMessage(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    payload: msgspec.Raw
    id: ActivityId
    seq: int
    occurred_at: Moment


def activity_frame(view: ActivityView) -> bytes:
    """The seed's `type` and `payload`, plus `id`, `seq` and `occurredAt`."""
    return text_frame(_encoder.encode(_ActivityMessage(view.type, view.metadata, view.id, view.seq, view.created_at)))


def control_frame(payload: ControlPayload) -> bytes:
    """A message about the channel itself, to one socket."""
    return text_frame(_encoder.encode(_Message(payload.type, payload)))


def text_frame(text: bytes) -> bytes:
    """A final, unmasked text frame (RFC 6455, 5.2)."""
    length = len(text)
    if length < _ONE_BYTE_LENGTH:
        return bytes((0x81, length)) + text
    if length < _TWO_BYTE_LENGTH:
        return b"\x81\x7e" + length.to_bytes(2) + text
    return b"\x81\x7f" + length.to_bytes(8) + text


PONG_FRAME = control_frame(PongPayload())
"""The answer to PING, encoded once."""
