"""A process with many WebSocket clients that read as fast as they can, so that they use no CPU of the server's process.

The parent talks to it in lines over standard input and output. It prints "ready" when all clients are connected. It
answers "count" with the number of bytes received, "measure" with "measuring", and "lateness" with how late the frames
were since then, by their `occurredAt`, in milliseconds.
"""

import asyncio
import base64
import json
import os
import re
import sys
import time
from datetime import datetime
from typing import cast

import uvloop

_OCCURRED = re.compile(rb'"occurredAt":"([^"]+)"')


class Listener(asyncio.Protocol):
    """One client. It answers no pings: a benchmark is over before the server sends one."""

    received = 0
    measures = False
    lateness: list[float] = []  # noqa: RUF012  # shared by all listeners on purpose

    def __init__(self, path: str, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.connected = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        cast("asyncio.Transport", transport).write(self.request.encode())

    def data_received(self, data: bytes) -> None:
        """Count the bytes and, once asked to measure, note the lateness of frames."""
        Listener.received += len(data)
        if not self.connected.done():
            if b"CONNECTED" in data:
                self.connected.set_result(None)
            elif b" 101 " not in data:
                self.connected.set_exception(ConnectionError(data[:200].decode()))
        elif Listener.measures:
            now = time.time()
            for stamp in _OCCURRED.findall(data):
                Listener.lateness.append((now - datetime.fromisoformat(stamp.decode()).timestamp()) * 1000)


async def main(port: int, path: str, count: int) -> None:
    """Connect all clients, then answer the parent until it closes the pipe."""
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(lambda: Listener(path, f"127.0.0.1:{port}"), "127.0.0.1", port)
        await client.connected
        clients.append(client)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        if line == b"count\n":
            print(Listener.received, flush=True)
        elif line == b"measure\n":
            Listener.measures = True
            print("measuring", flush=True)
        else:
            print(json.dumps(Listener.lateness), flush=True)
            Listener.lateness.clear()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
