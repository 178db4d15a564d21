"""Follow an organisation live without losing an event: python listen.py URL ACCESS_TOKEN REFRESH_TOKEN"""

import asyncio
import json
import random
import sys
import urllib.request
from collections.abc import AsyncIterator
from http.client import HTTPException
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake


async def follow(base: str, access: str, refresh: str) -> AsyncIterator[dict[str, Any]]:
    """Yields every frame, each activity exactly once, across lost connections, restarts and expired tokens."""
    place: dict[str, Any] = {}  # where to resume: "after" and "epoch"
    pause = 0.5  # seconds
    while True:
        code = None
        try:
            async with connect(base.replace("http", "ws", 1) + "/ws") as socket:
                await socket.send(json.dumps({"type": "AUTH", "payload": {"token": access, **place}}))
                while True:
                    frame = json.loads(await socket.recv())
                    if frame["type"] == "CONNECTED":
                        pause = 0.5
                        place = {"after": frame["payload"]["seq"], **place, "epoch": frame["payload"]["epoch"]}
                    elif frame["type"] == "RESYNC":
                        place["after"] = frame["payload"]["seq"]
                    place["after"] = frame.get("seq", place["after"])
                    yield frame
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
        except (OSError, InvalidHandshake):
            pass
        if code in (4403, 1008, 1009):  # removed, too many messages or too large a message: stop
            return
        if code == 4401:
            tokens = await asyncio.to_thread(_next_tokens, base, access, refresh)
            if tokens is None:  # the session is over: log in again
                return
            access, refresh = tokens
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  # not all clients reconnect at once
        pause = min(2 * pause, 30)


def _next_tokens(base: str, access: str, refresh: str) -> tuple[str, str] | None:
    """The next pair of tokens, or the same pair when the server does not answer; None once the session is over."""
    body, headers = json.dumps({"refreshToken": refresh}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(base + "/api/auth/refresh", body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
            data = json.load(reply)["data"]
    except (OSError, HTTPException, ValueError) as error:
        return None if getattr(error, "code", None) in (401, 403, 404) else (access, refresh)
    return data["accessToken"], data["refreshToken"]


async def main() -> None:
    """Print every frame as a line."""
    async for frame in follow(*sys.argv[1:4]):
        print(json.dumps(frame), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
