"""What lies between a server and its database, for tests that break it."""

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from tests.integration.servers import lasting_port


class Proxy:
    """A way over TCP to a database that listens on a Unix socket only."""

    def __init__(self, database_url: str) -> None:
        self.port = lasting_port()
        self._socket = parse_qs(urlsplit(database_url).query)["host"][0] + "/.s.PGSQL.5432"
        self._flows = asyncio.Event()
        self._ends: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/saas"

    async def mend(self) -> None:
        """Let through whoever comes, and what was held back."""
        self._flows.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Drop whoever is connected, and refuse all others."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for end in self._ends:
            end.transport.abort()

    async def clog(self) -> None:
        """Accept everything and let nothing through."""
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        both = {writer, far_writer}
        self._ends |= both
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._ends -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
