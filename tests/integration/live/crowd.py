"""A process with many sockets that read as fast as they can and note only how late each event was.

Its arguments are a port and tokens; it opens a socket for each token and prints "ready". For every line on standard
input it prints a line of JSON with, for each socket, the seqs received since the last line, how late they were in
milliseconds, and the close code.
"""

import asyncio
import json
import re
import sys
from datetime import datetime

import uvloop

from tests.integration.live.ears import TEXT, Ear, dialled

_PLACE = re.compile(rb'"seq":(\d+),"occurredAt":"([^"]+)"\}$')


class Sprinter(Ear):
    """Notes the seq of each event and how late it was."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self.seqs: list[int] = []
        self.lateness: list[float] = []

    def heard(self, opcode: int, body: bytes, now: float) -> None:
        if opcode != TEXT:
            super().heard(opcode, body, now)
        elif place := _PLACE.search(body, max(0, len(body) - 100)):
            self.seqs.append(int(place[1]))
            self.lateness.append((now - datetime.fromisoformat(place[2].decode()).timestamp()) * 1000)


async def main(port: int, tokens: list[str]) -> None:
    ears = [await dialled(Sprinter, port, f"token={token}") for token in tokens]
    print("ready", flush=True)  # noqa: T201
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps([[ear.seqs, ear.lateness, ear.close_code] for ear in ears]), flush=True)  # noqa: T201
        for ear in ears:
            ear.seqs, ear.lateness = [], []


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
