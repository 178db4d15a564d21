"""Draining: after SIGTERM the process still accepts requests for one second, while load balancers learn that it stops.

During that second readiness is 503 and sockets are closed with 1012. Then the server's own shutdown follows: it stops
listening, completes the requests in flight and ends.
"""

import asyncio
import signal
import threading
from types import FrameType

from saas.entrypoints.composition import Service

DRAIN_SECONDS = 1.0


def drain_on_sigterm(service: Service) -> None:
    """Install a handler of SIGTERM that calls the server's own handler later; call once that one is installed."""
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
