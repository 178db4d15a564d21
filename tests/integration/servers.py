"""Real server processes: starts the `saas` command as users do, and stops or kills it."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

READY_SECONDS = 30.0
_READY = re.compile(r"Serving on http://localhost:(\d+)")
SECRETS = {
    "JWT_ACCESS_SECRET": "an access secret that only tests know of",
    "JWT_REFRESH_SECRET": "a refresh secret that only tests know of",
}


def lasting_port() -> int:
    """A free port for a server that stops and starts again on the same port.

    Not one of the ports that systems assign to outgoing connections: a client that connects again and again would at
    some time be assigned the port that it connects to, and be connected to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ServerProcess:
    """A running `saas serve` with all its worker processes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process = process
        self.log = log
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def live_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def output(self) -> str:
        return self.log.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all its processes at once, as a crash would; none of them can send anything more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds: float = 35) -> int:
        return self.process.wait(seconds)


@contextmanager
def serving(folder: Path, environ: Mapping[str, str], *arguments: str, port: int = 0) -> Iterator[ServerProcess]:
    """A server on a free port, ready before the block begins; its log goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"serve-{time.monotonic_ns()}.log"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-m", "saas", "serve", "--port", str(port), *arguments]
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  # our own command
            command,
            env={"SAAS_DATA_DIR": str(folder / "data"), **inherited, **environ},
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield ServerProcess(process, log, _port_once_ready(process, log))
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _port_once_ready(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if ready := _READY.search(log.read_text()):
            return int(ready[1])
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"The server did not start:\n{log.read_text()}")
