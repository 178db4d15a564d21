"""Passwords, hashed with argon2id in a bounded pool of threads."""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from saas.domain.errors import Overloaded

Result = TypeVar("Result")


class Argon2Passwords:
    """Argon2id (RFC 9106), by default with the minimum cost that OWASP's Password Storage Cheat Sheet accepts.

    At most `workers` calls run at the same time, by default as many as there are processors. `waiting` more calls
    queue; any beyond raise `Overloaded` at once: a flood of logins delays only logins, no other requests.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19_456,
        iterations: int = 2,
        parallelism: int = 1,
        workers: int = os.cpu_count() or 1,
        waiting: int = 1_024,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=parallelism)
        self._dummy = self._hasher.hash(secrets.token_hex())
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._slots = BoundedSemaphore(workers + waiting)

    async def hash(self, password: str) -> str:
        """Returns a salted hash in PHC format, parameters included. Raises `Overloaded`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Returns whether it is the password; without `stored`, False after the same time. Raises `Overloaded`."""
        matches = await self._run(lambda: self._verify(stored or self._dummy, password))
        return matches and stored is not None

    def close(self) -> None:
        """Let running calls finish and drop waiting ones; nothing can be hashed after this."""
        self._pool.shutdown(cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, ValueError):  # ValueError: `stored` is not a hash at all
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if not self._slots.acquire(blocking=False):
            raise Overloaded
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._slots.release()
            raise
        # When the thread is done, not when the caller stops waiting: a cancelled request may still keep it busy.
        future.add_done_callback(lambda _: self._slots.release())
        return await asyncio.wrap_future(future)
