"""Passwords are hashed slowly, but neither on the event loop nor without limit."""

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median

import argon2
import pytest

from saas.adapters.passwords import Argon2Passwords
from saas.domain.errors import Overloaded

OFTEN = 5


@pytest.fixture
def quick() -> Iterator[Argon2Passwords]:
    """Parameters for tests: the least that the algorithm accepts."""
    passwords = Argon2Passwords(memory_kib=8, iterations=1)
    yield passwords
    passwords.close()


@pytest.fixture
def standard() -> Iterator[Argon2Passwords]:
    """Parameters as in production."""
    passwords = Argon2Passwords(workers=1)
    yield passwords
    passwords.close()


@pytest.fixture
def slow() -> Iterator[Callable[[int], Argon2Passwords]]:
    """One worker that takes its time, and so many places to wait."""
    made: list[Argon2Passwords] = []

    def make(waiting: int) -> Argon2Passwords:
        made.append(Argon2Passwords(iterations=8, workers=1, waiting=waiting))
        return made[-1]

    yield make
    for passwords in made:
        passwords.close()


async def test_a_password_matches_its_hash_and_no_other_does(quick: Argon2Passwords) -> None:
    stored = await quick.hash("correct horse")

    assert await quick.matches("correct horse", stored)
    for other in ("Correct horse", "correct horse ", "correct hors", ""):
        assert not await quick.matches(other, stored)


async def test_the_same_password_never_has_the_same_hash(quick: Argon2Passwords) -> None:
    assert await quick.hash("correct horse") != await quick.hash("correct horse")


@pytest.mark.parametrize("password", ["x" * 128, "🎉" * 128, "東京東京東京東京", "nul\0nul\0"])
async def test_no_password_is_cut(quick: Argon2Passwords, password: str) -> None:
    stored = await quick.hash(password)

    assert await quick.matches(password, stored)
    assert not await quick.matches(password[:-1], stored)
    assert not await quick.matches(password + "x", stored)


async def test_the_parameters_are_at_least_those_that_owasp_asks_for(standard: Argon2Passwords) -> None:
    parameters = argon2.extract_parameters(await standard.hash("correct horse"))

    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)


async def test_a_hash_of_other_parameters_still_matches(quick: Argon2Passwords, standard: Argon2Passwords) -> None:
    assert await standard.matches("correct horse", await quick.hash("correct horse"))


async def test_with_nothing_stored_no_password_matches(quick: Argon2Passwords) -> None:
    assert await quick.matches("correct horse", None) is False


async def test_with_nothing_stored_it_takes_just_as_long(standard: Argon2Passwords) -> None:
    stored = await standard.hash("correct horse")

    async def seconds(known: str | None) -> float:
        before = time.perf_counter()
        await standard.matches("wrong password", known)
        return time.perf_counter() - before

    with_hash = median([await seconds(stored) for _ in range(OFTEN)])
    without = median([await seconds(None) for _ in range(OFTEN)])

    # A machine under load is forgiven much; not hashing at all would be a thousand times faster.
    assert with_hash / 4 < without < with_hash * 4


@pytest.mark.parametrize(
    "stored", ["", "plain", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "é", "$argon2id$v=19$x"]
)
async def test_a_malformed_hash_matches_nothing(quick: Argon2Passwords, stored: str) -> None:
    assert await quick.matches("correct horse", stored) is False


async def test_the_event_loop_goes_on_meanwhile(slow: Callable[[int], Argon2Passwords]) -> None:
    hashing = asyncio.create_task(slow(0).hash("correct horse"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 10


async def test_beyond_those_that_run_and_those_that_may_wait_calls_are_refused_at_once(
    slow: Callable[[int], Argon2Passwords],
) -> None:
    passwords = slow(1)
    accepted = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(2)]
    await asyncio.sleep(0)

    for call in (passwords.hash("correct horse"), passwords.matches("correct horse", None)):
        with pytest.raises(Overloaded):
            await call
    assert not any(task.done() for task in accepted)

    assert len(await asyncio.gather(*accepted)) == 2
    await passwords.hash("correct horse")


async def test_a_caller_that_gave_up_keeps_its_place_until_the_thread_is_done(
    slow: Callable[[int], Argon2Passwords],
) -> None:
    passwords = slow(0)
    impatient = asyncio.create_task(passwords.hash("correct horse"))
    await asyncio.sleep(0.01)
    impatient.cancel()

    with pytest.raises(asyncio.CancelledError):
        await impatient
    with pytest.raises(Overloaded):
        await passwords.hash("correct horse")

    passwords.close()  # waits for the thread
    with pytest.raises(RuntimeError, match="shutdown"):  # so there is a place, though nobody to take it
        await passwords.hash("correct horse")


async def test_a_caller_that_gave_up_waiting_leaves_its_place(slow: Callable[[int], Argon2Passwords]) -> None:
    passwords = slow(1)
    running = asyncio.create_task(passwords.hash("correct horse"))
    waiting = asyncio.create_task(passwords.hash("correct horse"))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not running.done()
    await asyncio.gather(running, passwords.hash("correct horse"))


async def test_a_refused_call_leaves_no_place_taken(slow: Callable[[int], Argon2Passwords]) -> None:
    passwords = slow(0)
    outcomes = await asyncio.gather(*(passwords.hash("correct horse") for _ in range(3)), return_exceptions=True)

    assert [isinstance(outcome, Overloaded) for outcome in outcomes] == [False, True, True]
    await passwords.hash("correct horse")


async def test_nothing_is_hashed_after_closing(slow: Callable[[int], Argon2Passwords]) -> None:
    passwords = slow(0)
    passwords.close()
    passwords.close()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="shutdown"):
            await passwords.hash("correct horse")
