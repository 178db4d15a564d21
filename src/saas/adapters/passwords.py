"""Passwords are hashed with argon2id, in threads of their own and in bounded number."""

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
    """Argon2id (RFC 9106), by default with the least that OWASP's Password Storage Cheat Sheet accepts.

    `workers` calls run at once, by default as many as there are processors, `waiting` more queue, and any beyond
    raise `Overloaded` at once: a flood of logins costs those who log in, not everybody else.
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
        self._places = BoundedSemaphore(workers + waiting)

    async def hash(self, password: str) -> str:
        """A salted hash in PHC form, parameters included. Raises `Overloaded`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; with nothing stored it takes just as long and says no. Raises `Overloaded`."""
        matches = await self._run(lambda: self._verify(stored or self._dummy, password))
        return matches and stored is not None

    def close(self) -> None:
        """Let what runs finish and drop what waits; nothing can be hashed after this."""
        self._pool.shutdown(cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, ValueError):  # ValueError: what is stored is no hash at all
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if not self._places.acquire(blocking=False):
            raise Overloaded
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._places.release()
            raise
        # Once the thread is done, not once the caller stops waiting: a cancelled request may still keep it busy.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)
