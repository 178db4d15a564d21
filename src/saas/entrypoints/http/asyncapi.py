"""The AsyncAPI 3 document of the live channel, generated from the message types, and a page that shows it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import msgspec
from litestar import Router, get

from saas.adapters.websocket.frames import ControlPayload
from saas.application.payloads import AnyPayload
from saas.entrypoints.http.live_messages import AuthPayload, PingPayload

DESCRIPTION = """
Connect with an access token: `?token=`, an `Authorization` header, or a first message `AUTH` within 5 seconds.
The first frame is `CONNECTED`; then every activity of the organisation follows, in the order of `seq`.

**To lose nothing**, remember the `seq` of the last frame (and the `epoch` of `CONNECTED`), and reconnect with
`?after=<seq>&epoch=<epoch>`. The server first sends what was missed, each activity exactly once, or a `RESYNC` when it
cannot: then reload what you show, and go on from its `seq`.

| close code | meaning | what to do |
|---|---|---|
| 4401 | token expired or session ended | refresh, then reconnect |
| 4403 | no longer a member | stop |
| 4408 | the client reads too slowly | reconnect with `after` |
| 1008, 1009 | too many messages from the client, a message over 64 KiB | stop |
| 1002, 1007 | a frame that breaks the protocol, text that is not UTF-8 | fix the client |
| 1011 | an error in the server, or the client did not answer a ping | reconnect with `after`, later, with jitter |
| 1012, 1013 | the server restarts, or has too many connections | reconnect with `after`, later, with jitter |
"""

PLACE: dict[str, Any] = {
    "id": {"type": "string", "format": "uuid"},
    "seq": {"type": "integer", "description": "1, 2, 3, ... in the organisation, without gaps; the feed's own."},
    "occurredAt": {"type": "string", "format": "date-time"},
}
"""The fields of every activity besides `type` and `payload`."""

# Our own page, since the viewer in `litestar-offline-docs` supports AsyncAPI 2 only.
PAGE = Path(__file__).with_name("live.html").read_text()


def asyncapi_router(version: str) -> Router:
    """The document at /docs/asyncapi.json and the page at /docs/live."""
    document = _document(version)

    @get("/docs/asyncapi.json", include_in_schema=False, sync_to_thread=False)
    def describe() -> dict[str, Any]:
        return document

    @get("/docs/live", include_in_schema=False, media_type="text/html", sync_to_thread=False)
    def show() -> str:
        return PAGE

    return Router("/", route_handlers=[describe, show])


def _document(version: str) -> dict[str, Any]:
    activities, control = get_args(AnyPayload), get_args(ControlPayload)
    _, schemas = msgspec.json.schema_components(
        [*activities, *control, AuthPayload, PingPayload], ref_template="#/components/schemas/{name}"
    )
    messages = {
        **{each.type: _message(each.type, each, **PLACE) for each in activities},
        **{each.type: _message(each.type, each) for each in control},
        "AUTH": _message("AUTH", AuthPayload),
        "PING": _message("PING", PingPayload, required=["type"]),
    }
    sent_by_clients = ("AUTH", "PING")
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "SaaS live channel", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            "live": {
                "address": "/ws",
                "title": "An organisation, live",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {
                    "ws": {
                        "query": {
                            "type": "object",
                            "properties": {
                                "token": {"type": "string", "description": "An access token."},
                                "after": {"type": "integer", "description": "The last seq that was seen."},
                                "epoch": {"type": "string", "description": "The epoch it was seen in."},
                            },
                        }
                    }
                },
            }
        },
        "operations": {
            "listen": _operation("send", [name for name in messages if name not in sent_by_clients]),
            "say": _operation("receive", sent_by_clients),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _operation(action: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/live"},
        "messages": [{"$ref": f"#/channels/live/messages/{name}"} for name in names],
    }


def _message(
    name: str,
    payload: type[msgspec.Struct],
    *,
    required: list[str] | None = None,
    **place: Any,  # noqa: ANN401  # JSON schema
) -> dict[str, Any]:
    properties = {"type": {"const": name}, "payload": {"$ref": f"#/components/schemas/{payload.__name__}"}, **place}
    return {
        "name": name,
        "title": name,
        "summary": payload.__doc__,
        "payload": {"type": "object", "properties": properties, "required": required or list(properties)},
    }
