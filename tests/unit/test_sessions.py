"""Refresh tokens work once: rotation, its grace, replays and the two lifetimes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from saas.domain.errors import SessionEnded
from saas.domain.sessions import GRACE, TOTAL_LIFETIME, Session
from tests.scene import IDLE, NOW, organisation, session, user

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


def started(idle: timedelta = IDLE) -> Session:
    return session(user(), organisation(), idle=idle)


def test_the_lifetimes_are_the_promised_ones() -> None:
    assert timedelta(days=30) == TOTAL_LIFETIME
    assert timedelta(seconds=10) == GRACE


def test_an_unused_session_lasts_its_idle_time() -> None:
    signed_in = started()

    signed_in.require_alive(NOW + IDLE - INSTANT)
    with pytest.raises(SessionEnded):
        signed_in.require_alive(NOW + IDLE)


def test_an_idle_time_longer_than_the_total_does_not_count() -> None:
    assert started(idle=timedelta(days=90)).expires_at == NOW + TOTAL_LIFETIME


def test_the_newest_token_gets_a_successor_and_a_new_idle_time() -> None:
    signed_in = started()

    assert signed_in.rotate(0, idle=IDLE, at=NOW + DAY)

    assert signed_in.generation == 1
    assert signed_in.rotated_at == NOW + DAY
    assert signed_in.expires_at == NOW + DAY + IDLE


def test_a_session_in_use_still_ends_after_30_days() -> None:
    signed_in = started()
    for generation in range(29):
        signed_in.rotate(generation, idle=IDLE, at=NOW + DAY * (generation + 1))

    assert signed_in.expires_at == NOW + TOTAL_LIFETIME
    with pytest.raises(SessionEnded):
        signed_in.rotate(29, idle=IDLE, at=NOW + TOTAL_LIFETIME)


def test_the_predecessor_gets_the_same_successor_for_10_seconds() -> None:
    signed_in = started()
    signed_in.rotate(0, idle=IDLE, at=NOW)
    once = replace(signed_in)

    assert signed_in.rotate(0, idle=IDLE, at=NOW + GRACE)
    assert signed_in.rotate(0, idle=IDLE, at=NOW + GRACE)

    assert signed_in == once


def test_the_predecessor_after_10_seconds_ends_the_session() -> None:
    signed_in = started()
    signed_in.rotate(0, idle=IDLE, at=NOW)
    replayed_at = NOW + GRACE + INSTANT

    assert not signed_in.rotate(0, idle=IDLE, at=replayed_at)

    assert signed_in.ended_at == replayed_at
    assert signed_in.generation == 1


def test_a_token_older_than_the_predecessor_ends_the_session_at_once() -> None:
    signed_in = started()
    signed_in.rotate(0, idle=IDLE, at=NOW)
    signed_in.rotate(1, idle=IDLE, at=NOW)

    signed_in.rotate(0, idle=IDLE, at=NOW)

    assert signed_in.ended_at == NOW


def test_a_token_that_was_never_issued_ends_the_session() -> None:
    signed_in = started()

    signed_in.rotate(1, idle=IDLE, at=NOW)

    assert signed_in.ended_at == NOW


def test_an_ended_session_is_not_rotated() -> None:
    signed_in = started()
    signed_in.end(NOW)

    with pytest.raises(SessionEnded, match="Log in again"):
        signed_in.rotate(0, idle=IDLE, at=NOW)

    assert signed_in.generation == 0


def test_ending_twice_keeps_the_first_moment() -> None:
    signed_in = started()
    signed_in.end(NOW)

    signed_in.end(NOW + DAY)

    assert signed_in.ended_at == NOW
