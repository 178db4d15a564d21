"""A PostgreSQL server of our own in the data directory, shared by our processes and stopped by the last of them.

Three file locks say who is there. The kernel drops them when their holder dies, however it dies, so that no crash
leaves anything behind that could be mistaken for life, as a recorded process id can:

- `switch.lock` is held alone while the server is started or stopped;
- `users.lock` is shared by every process that uses the server: who can have it alone was the last;
- `server.lock` is inherited by all processes of the server: while it is taken, one of them lives.
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
    """Keep the server running inside the block and yield its URL, which leads through a Unix socket.

    A server that dies meanwhile is started again, under the same URL, and recovers what was committed. The data stays
    in `data_dir` for the next time. Other processes may use the same directory meanwhile, and any of
    them, or the server, may have been killed before. Nobody but the owner of the directory and root can reach the
    server, and no signal to our terminal or process group does. Raises `EmbeddedPostgresError`.
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
                if server.has_died():  # and no other process that uses it was faster
                    logger.warning("PostgreSQL has died. Its log is %s.", server.log)
                    server.ensure_running()
            pause = WATCH_SECONDS
        except (EmbeddedPostgresError, OSError) as error:
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            logger.error("PostgreSQL cannot be started again: %s Trying once more in %.0f s.", error, pause)  # noqa: TRY400


def _leave(server: Server, users: ExitStack) -> None:
    """Stop the server unless somebody else uses it; whoever starts meanwhile waits at the switch."""
    with held(server.home / "switch.lock", fcntl.LOCK_EX):
        users.close()
        if is_free(server.home / "users.lock"):
            server.stop()
