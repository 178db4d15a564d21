"""People and their sessions. They belong to no tenant, and only narrow statements reach them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from saas.adapters.postgres.tables import sessions, users
from saas.domain.errors import EmailInUse
from saas.domain.members import User
from saas.domain.sessions import Session
from saas.domain.values import Email, OrganisationId, SessionId, UserId

_ADD_USER = insert(users).on_conflict_do_nothing(index_elements=["email"]).returning(users.c.id)
_LOCK_SESSION = sa.select(sessions).where(sessions.c.id == sa.bindparam("session_id")).with_for_update()


class PostgresUsers:
    """All people."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, user: User) -> None:
        """Store a new person. Raises `EmailInUse`, after waiting for a registration of the same address to end."""
        row = {
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "password_hash": user.password_hash,
            "created_at": user.created_at,
        }
        if (await self._connection.execute(_ADD_USER, row)).first() is None:
            raise EmailInUse


class PostgresSessions:
    """All sessions."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        """Store a new session."""
        await self._connection.execute(sa.insert(sessions), _row(session))

    async def lock(self, session_id: SessionId) -> Session | None:
        """Load a session and lock it: other work that wants it waits until this work ends."""
        row = (await self._connection.execute(_LOCK_SESSION, {"session_id": session_id})).first()
        return _session(row) if row else None

    async def save(self, session: Session) -> None:
        """Store what the session has become."""
        await self._connection.execute(sa.update(sessions).where(sessions.c.id == session.id), _row(session))

    async def end(self, user_id: UserId, sessions_to_end: Sequence[SessionId], at: datetime) -> Sequence[SessionId]:
        """End those sessions that are this person's and have not ended; returns their ids."""
        ended = await self._connection.execute(
            sa.update(sessions)
            .where(sessions.c.id.in_(sessions_to_end), sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
            .values(ended_at=at)
            .returning(sessions.c.id)
        )
        return [SessionId(row.id) for row in ended]

    async def end_in(self, organisation_id: OrganisationId, user_id: UserId, at: datetime) -> Sequence[SessionId]:
        """End every session of this person in this organisation that has not ended; returns their ids."""
        ended = await self._connection.execute(
            sa.update(sessions)
            .where(
                sessions.c.user_id == user_id,
                sessions.c.organisation_id == organisation_id,
                sessions.c.ended_at.is_(None),
            )
            .values(ended_at=at)
            .returning(sessions.c.id)
        )
        return [SessionId(row.id) for row in ended]


def user_entity(row: sa.Row[Any]) -> User:
    """The person in a row of `users`."""
    return User(
        id=UserId(row.id),
        email=Email(row.email),
        name=row.name,
        password_hash=row.password_hash,
        created_at=row.created_at,
    )


def _session(row: sa.Row[Any]) -> Session:
    return Session(
        id=SessionId(row.id),
        user_id=UserId(row.user_id),
        organisation_id=OrganisationId(row.organisation_id),
        generation=row.generation,
        created_at=row.created_at,
        rotated_at=row.rotated_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )


def _row(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "user_id": session.user_id,
        "organisation_id": session.organisation_id,
        "generation": session.generation,
        "created_at": session.created_at,
        "rotated_at": session.rotated_at,
        "expires_at": session.expires_at,
        "ended_at": session.ended_at,
    }
