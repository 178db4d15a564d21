"""Runs the app under uvicorn: in this process, or in several worker processes on one socket."""

import errno
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from litestar.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from saas.entrypoints import logs
from saas.entrypoints.http.app import create_app
from saas.entrypoints.settings import Environment, Settings

READY_SECONDS = 60

logger = logging.getLogger(__name__)


class CannotListenError(Exception):
    """The server cannot listen on the address; the message says what to do."""


def server_config(settings: Settings, *, host: str, port: int, workers: int) -> uvicorn.Config:
    """The whole configuration of uvicorn. The app itself handles proxy headers and writes the access log."""
    return uvicorn.Config(
        app="saas.entrypoints.http.app:create_app" if workers == 1 else "saas.entrypoints.server:create_worker_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http="saas.entrypoints.http.protocol:BoundedHttpProtocol",
        ws="saas.adapters.websocket.protocol:DirectWebSocketProtocol",
        ws_max_size=65_536,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=logs.config(machine_readable=settings.environment is Environment.PRODUCTION),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,  # longer than clients and proxies keep idle connections, so that they close them first
        timeout_graceful_shutdown=25,
        timeout_worker_healthcheck=30,
    )


def run(config: uvicorn.Config, listener: socket.socket) -> int:
    """Serve until stopped. Returns the exit code. Raises `CannotListenError`, or `KeyboardInterrupt` on Ctrl-C."""
    address = _address(config.host, listener.getsockname()[1])

    def announce() -> None:
        logger.info("Serving on %s, docs at %s/docs", address, address)

    with _refusals_explained(config.host, config.port):
        listener.listen(config.backlog)
    if config.workers == 1:
        _Server(config, announce).run([listener])
        return 0
    supervisor = _Supervisor(config, listener, announce)
    supervisor.run()
    return STARTUP_FAILURE if supervisor.has_failed else 0


@contextmanager
def reserved(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address that does not listen yet: clients are refused, not kept waiting, until it does.

    Raises `CannotListenError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with _refusals_explained(host, port):
            listener.bind((host, port))
        yield listener


def create_worker_app() -> ASGIApp:
    """The app of one worker process. The worker also ends when its supervisor was killed."""
    supervisor = multiprocessing.parent_process()

    def follow() -> None:
        if supervisor:
            supervisor.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True, name="follow-supervisor").start()
    return create_app()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


class _Supervisor(Multiprocess):
    def __init__(self, config: uvicorn.Config, listener: socket.socket, announce: Callable[[], None]) -> None:
        super().__init__(config, [listener])
        self._announce = announce

    @property
    def has_failed(self) -> bool:
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(READY_SECONDS, self.should_exit) for process in self.processes):
            self._announce()


@contextmanager
def _refusals_explained(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = (
                f"port {port} on {host} is already in use, perhaps by another `make run`. "
                "Stop what uses it, or choose another with PORT."
            )
        else:
            message = f"cannot listen on port {port} of {host}: {error.strerror}. Choose others with --host and --port."
        raise CannotListenError(message) from error


def _address(host: str, port: int) -> str:
    if host in {"127.0.0.1", "0.0.0.0", "::", "::1"}:  # noqa: S104 - a comparison
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
