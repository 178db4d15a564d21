"""One cluster and its server: creating, starting, finding and stopping it."""

import fcntl
import logging
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from urllib.parse import quote

from saas.adapters.embedded_postgres.machine import (
    Account,
    EmbeddedPostgresError,
    RunAs,
    held,
    is_free,
    socket_directory,
)

START_SECONDS = 60
STOP_SECONDS = 20

_DATABASE = "saas"
_SUPERUSER = "postgres"
_INITDB = (
    *("--username", _SUPERUSER, "--auth-local=trust", "--auth-host=reject", "--no-instructions"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_CREATE_DATABASE = r"""
    select 'create database saas' where not exists (select from pg_database where datname = 'saas') \gexec
"""
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
"""The whole environment of the programs: none of our secrets, and none of the variables that libpq would read."""

logger = logging.getLogger(__name__)


class _State(IntEnum):
    """The exit codes of `pg_isready`; any other code counts as SILENT."""

    ACCEPTING = 0
    REJECTING = 1
    SILENT = 2


class Server:
    """The server in one directory. Callers hold `switch.lock`, except for `has_died`."""

    def __init__(self, home: Path, binaries: Path) -> None:
        self.home = home
        self.log = home / "log"
        self._cluster = home / "cluster"
        self._lock_file = home / "server.lock"
        self._bin = binaries
        self._account = Account.for_cluster(self._cluster)

    def ensure_running(self) -> str:
        """Returns the URL of the running server; starts it if necessary, and waits while it starts or stops."""
        deadline = time.monotonic() + START_SECONDS
        started = False
        while (state := self._state()) is not _State.ACCEPTING:
            if state is _State.SILENT and not self._is_running():
                if started:
                    raise EmbeddedPostgresError(f"PostgreSQL does not start: {self._last_error()} See {self.log}.")
                self._start()
                started = True
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL is not ready after {START_SECONDS} s. See {self.log}.")
            time.sleep(0.02)
        self._run("psql", *self._address(), "-Xqv", "ON_ERROR_STOP=1", feed=_CREATE_DATABASE)
        socket_dir, port = self._socket()
        return f"postgresql://{_SUPERUSER}@/{_DATABASE}?host={quote(socket_dir)}&port={port}"

    def has_died(self) -> bool:
        """Returns whether no server process runs; False for a deleted cluster, so that none is created anew."""
        return self._cluster.exists() and not self._is_running()

    def stop(self) -> None:
        """Stop the server and end every session on it. If that takes too long, the next start recovers."""
        socket_dir = Path(self._socket()[0])
        for order in (signal.SIGINT, signal.SIGQUIT):
            if not self._is_running():
                break
            with suppress(ProcessLookupError, IndexError):
                os.kill(int(self._pid_file()[0]), order)
            deadline = time.monotonic() + STOP_SECONDS
            while self._is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
        if socket_dir != self._cluster:
            with suppress(OSError):  # not empty: the server is still running
                socket_dir.rmdir()

    def _start(self) -> None:
        self._account.grant_traversal(self._bin, self._cluster)
        with held(self._lock_file, fcntl.LOCK_EX) as lock, self.log.open("ab") as log:
            if not self._cluster.exists():
                self._create_cluster(lock)
            logger.info("Starting PostgreSQL ...")
            socket_dir = socket_directory(self._cluster, self._account)
            # No server is running, but a recorded process id may belong to another program by now, which PostgreSQL
            # would take for a running server.
            for leftover in (self._cluster / "postmaster.pid", *socket_dir.glob(".s.PGSQL.*")):
                leftover.unlink(missing_ok=True)
            options = ("-D", str(self._cluster), "-k", str(socket_dir), "-p", "5432", "-c", "listen_addresses=")
            subprocess.run(  # noqa: S603 - our own arguments and paths
                # The shell exits, so that init adopts the server; a session of its own shields it from our Ctrl-C.
                ("/bin/sh", "-c", '"$@" &', "sh", str(self._bin / "postgres"), *options),
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                cwd="/",
                env=_ENVIRONMENT,
                **self._account.run_as,
            )

    def _create_cluster(self, lock: int) -> None:
        """Create the cluster under another name and rename it, so that it exists completely or not at all."""
        logger.info("Preparing a PostgreSQL cluster in %s, this first time only ...", self.home)
        draft = self.home / "cluster.new"
        if draft.exists():
            shutil.rmtree(draft)
        self._account.make_private(draft)
        self._run("initdb", *_INITDB, "--pgdata", str(draft), run_as=self._account.run_as, inherits=(lock,))
        draft.rename(self._cluster)

    def _run(
        self, program: str, *arguments: str, feed: str = "", run_as: RunAs | None = None, inherits: tuple[int, ...] = ()
    ) -> None:
        done = subprocess.run(  # noqa: S603 - our own arguments and paths
            (str(self._bin / program), *arguments),
            check=False,
            input=feed,
            capture_output=True,
            text=True,
            pass_fds=inherits,
            cwd="/",
            env=_ENVIRONMENT,
            **(run_as or {}),
        )
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise EmbeddedPostgresError(f"PostgreSQL is not usable: {program} says {reason}")

    def _state(self) -> _State:
        command = (str(self._bin / "pg_isready"), *self._address(), "-q", "-t", "2")
        code = subprocess.run(command, check=False, cwd="/", env=_ENVIRONMENT).returncode  # noqa: S603 - as above
        return _State(code) if code in set(_State) else _State.SILENT

    def _is_running(self) -> bool:
        return not is_free(self._lock_file)

    def _pid_file(self) -> list[str]:
        """Process id, directory, start time, port, socket directory, ...; fewer while the server is starting."""
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _socket(self) -> tuple[str, int]:
        match self._pid_file():
            case [_, _, _, port, socket_dir, *_] if port and socket_dir:
                return socket_dir, int(port)
        return str(self._cluster), 5432

    def _address(self) -> tuple[str, ...]:
        socket_dir, port = self._socket()
        return "-h", socket_dir, "-p", str(port), "-U", _SUPERUSER, "-d", "postgres"

    def _last_error(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if "FATAL" in line), "its log gives no reason.")
