"""A PostgreSQL server of our own in the data directory. Our processes share it, and the last one stops it.

Three file locks record which processes are running. The kernel releases a lock when its holder dies, however it dies,
so that a crash leaves nothing behind that looks like a running process, as a recorded process id can:

- `switch.lock` is held exclusively while the server is started or stopped;
- `users.lock` is shared by every process that uses the server: a process that can lock it exclusively is the last one;
- `server.lock` is inherited by all processes of the server: while it is locked, at least one of them is running.
"""

import fcntl
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from saas.adapters.embedded_postgres.machine import EmbeddedPostgresError, find_binaries, held, is_free
from saas.adapters.embedded_postgres.server import Server

__all__ = ["EmbeddedPostgresError", "embedded_postgres"]

WATCH_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

logger = logging.getLogger(__name__)


@contextmanager
def embedded_postgres(data_dir: Path) -> Iterator[str]:
    """Keep the server running inside the block and yield its URL, which uses a Unix socket.

    A server that dies inside the block is started again, under the same URL, and recovers what was committed. The data
    stays in `data_dir` for the next start. Other processes may use the same directory at the same time, and any of
    them, or the server, may have been killed before. Only root and the owner of the directory can connect to the
    server, and signals to our terminal or process group do not reach it. Raises `EmbeddedPostgresError`.
    """
    binaries = find_binaries()
    home = data_dir.resolve() / "postgres"
    with ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with held(home / "switch.lock", fcntl.LOCK_EX):
                server = Server(home, binaries)
                users = stack.enter_context(ExitStack())
                users.enter_context(held(home / "users.lock", fcntl.LOCK_SH))
                stack.callback(_leave, server, users)
                url = server.ensure_running()
        except OSError as error:
            message = (
                f"PostgreSQL cannot run in {home}: {error.strerror}. "
                "Set DATABASE_URL to a server of yours, or SAAS_DATA_DIR to a writable directory."
            )
            raise EmbeddedPostgresError(message) from error
        stack.enter_context(_watched(server))
        yield url


@contextmanager
def _watched(server: Server) -> Iterator[None]:
    """Start the server again whenever it dies inside the block."""
    leaving = threading.Event()
    watcher = threading.Thread(target=_watch, args=(server, leaving), daemon=True, name="watch-postgres")
    watcher.start()
    try:
        yield
    finally:
        leaving.set()
        watcher.join()


def _watch(server: Server, leaving: threading.Event) -> None:
    pause = WATCH_SECONDS
    while not leaving.wait(pause):
        try:
            if not server.has_died():
                continue
            with held(server.home / "switch.lock", fcntl.LOCK_EX):
                if server.has_died():  # again, under the lock: another process may have restarted it
                    logger.warning("PostgreSQL has died. Its log is %s.", server.log)
                    server.ensure_running()
            pause = WATCH_SECONDS
        except (EmbeddedPostgresError, OSError) as error:
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            logger.error("PostgreSQL cannot be started again: %s Trying once more in %.0f s.", error, pause)  # noqa: TRY400


def _leave(server: Server, users: ExitStack) -> None:
    """Stop the server unless another process uses it; a process that starts meanwhile waits for `switch.lock`."""
    with held(server.home / "switch.lock", fcntl.LOCK_EX):
        users.close()
        if is_free(server.home / "users.lock"):
            server.stop()
