"""The last second of a process: told to stop, it says so before it stops answering.

Readiness turns 503 and sockets are closed with 1012 while requests are still accepted; then the server goes on as
it does without us: it stops listening, finishes what is in flight and ends.
"""

import asyncio
import signal
import threading
from types import FrameType

from saas.entrypoints.composition import Service

DRAIN_SECONDS = 1.0


def drain_on_sigterm(service: Service) -> None:
    """Put ourselves before the server's own handler of SIGTERM; to be called once that is installed."""
    server_handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(server_handler):
        return
    loop = asyncio.get_running_loop()

    def drain() -> None:
        service.notifier.close_all()
        loop.call_later(DRAIN_SECONDS, server_handler, signal.SIGTERM, None)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        if service.draining:
            server_handler(number, frame)
        else:
            service.draining = True
            loop.call_soon_threadsafe(drain)

    signal.signal(signal.SIGTERM, on_sigterm)
