"""A proxy between a server and its database, for tests that break the connection."""

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from tests.integration.servers import lasting_port


class Proxy:
    """A TCP proxy to a database that listens on a Unix socket only."""

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
        """Accept connections, and let all data through, also what was held back."""
        self._flows.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Drop all connections, and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for end in self._ends:
            end.transport.abort()

    async def clog(self) -> None:
        """Accept connections and data, and let no data through."""
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
