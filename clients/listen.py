"""Follow an organisation live and lose nothing: python listen.py URL ACCESS_TOKEN REFRESH_TOKEN"""

import asyncio
import json
import random
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake


async def follow(base: str, access: str, refresh: str) -> AsyncIterator[dict[str, Any]]:
    """Every frame, each activity exactly once, through lost connections, restarts and expiring tokens."""
    place: dict[str, Any] = {}  # where to resume: "after" and "epoch"
    while True:
        code = None
        try:
            async with connect(base.replace("http", "ws", 1) + "/ws") as socket:
                await socket.send(json.dumps({"type": "AUTH", "payload": {"token": access, **place}}))
                while True:
                    frame = json.loads(await socket.recv())
                    if frame["type"] == "CONNECTED":
                        place = {"after": frame["payload"]["seq"], **place, "epoch": frame["payload"]["epoch"]}
                    elif frame["type"] == "RESYNC":
                        place["after"] = frame["payload"]["seq"]
                    place["after"] = frame.get("seq", place["after"])
                    yield frame
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
        except (OSError, InvalidHandshake):
            pass
        if code in (4403, 1008, 1009):  # not a member any more, or not behaving: do not come back
            return
        if code == 4401:
            try:
                access, refresh = await asyncio.to_thread(_next_tokens, base, refresh)
            except urllib.error.HTTPError:  # the session is over: log in again
                return
        await asyncio.sleep(random.uniform(0.1, 1))  # noqa: S311  # so that not everybody comes back at once


def _next_tokens(base: str, refresh: str) -> tuple[str, str]:
    body, headers = json.dumps({"refreshToken": refresh}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(base + "/api/auth/refresh", body, headers)) as reply:  # noqa: S310
        data = json.load(reply)["data"]
    return data["accessToken"], data["refreshToken"]


async def main() -> None:
    """Print every frame as a line."""
    async for frame in follow(*sys.argv[1:4]):
        print(json.dumps(frame), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
