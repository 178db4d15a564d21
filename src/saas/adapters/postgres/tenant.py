"""The repositories of one organisation; row-level security keeps their statements from any other."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from saas.adapters.postgres.tables import invites, memberships, users
from saas.domain.errors import AlreadyMember
from saas.domain.invites import Invite, InviteStatus
from saas.domain.members import Membership
from saas.domain.values import Email, InviteId, OrganisationId, Person, Role, UserId

_ADD_MEMBER = insert(memberships).on_conflict_do_nothing().returning(memberships.c.user_id)
_GET_MEMBER = (
    sa.select(
        memberships.c.role, memberships.c.joined_at, memberships.c.updated_at, users.c.id, users.c.name, users.c.email
    )
    .join(users, users.c.id == memberships.c.user_id)
    .where(
        memberships.c.organisation_id == sa.bindparam("organisation_id"),
        memberships.c.user_id == sa.bindparam("user_id"),
    )
)
_HAS_MEMBER = (
    sa.select(sa.literal(1))
    .select_from(memberships.join(users, users.c.id == memberships.c.user_id))
    .where(memberships.c.organisation_id == sa.bindparam("organisation_id"), users.c.email == sa.bindparam("email"))
)
_COUNT_ADMINS = (
    sa.select(sa.func.count())
    .select_from(memberships)
    .where(memberships.c.organisation_id == sa.bindparam("organisation_id"), memberships.c.role == Role.ADMIN)
)
_PENDING_INVITE = sa.select(invites).where(
    invites.c.organisation_id == sa.bindparam("organisation_id"),
    invites.c.email == sa.bindparam("email"),
    invites.c.status == InviteStatus.PENDING,
)
_INVITE_WITH_DIGEST = sa.select(invites).where(
    invites.c.organisation_id == sa.bindparam("organisation_id"), invites.c.token_digest == sa.bindparam("digest")
)


class PostgresMembers:
    """The members of one organisation."""

    def __init__(self, connection: AsyncConnection, organisation_id: OrganisationId) -> None:
        self._connection = connection
        self._organisation_id = organisation_id

    async def add(self, membership: Membership) -> None:
        """Store a new member. Raises `AlreadyMember`."""
        row = {
            "organisation_id": self._organisation_id,
            "user_id": membership.person.id,
            "role": membership.role,
            "joined_at": membership.joined_at,
            "updated_at": membership.updated_at,
        }
        if (await self._connection.execute(_ADD_MEMBER, row)).first() is None:
            raise AlreadyMember

    async def get(self, user_id: UserId) -> Membership | None:
        """The person's membership here."""
        keys = {"organisation_id": self._organisation_id, "user_id": user_id}
        row = (await self._connection.execute(_GET_MEMBER, keys)).first()
        if row is None:
            return None
        person = Person(UserId(row.id), row.name, Email(row.email))
        return Membership(person=person, role=Role(row.role), joined_at=row.joined_at, updated_at=row.updated_at)

    async def has(self, email: Email) -> bool:
        """Whether somebody with this address is a member."""
        keys = {"organisation_id": self._organisation_id, "email": email}
        return (await self._connection.execute(_HAS_MEMBER, keys)).first() is not None

    async def count_admins(self) -> int:
        """How many members have the role ADMIN."""
        keys = {"organisation_id": self._organisation_id}
        return (await self._connection.execute(_COUNT_ADMINS, keys)).scalar_one()

    async def save(self, membership: Membership) -> None:
        """Store what the membership has become; only its role ever changes."""
        await self._connection.execute(
            sa.update(memberships)
            .where(
                memberships.c.organisation_id == self._organisation_id,
                memberships.c.user_id == membership.person.id,
            )
            .values(role=membership.role, updated_at=membership.updated_at)
        )

    async def remove(self, membership: Membership) -> None:
        """Delete the membership."""
        await self._connection.execute(
            sa.delete(memberships).where(
                memberships.c.organisation_id == self._organisation_id,
                memberships.c.user_id == membership.person.id,
            )
        )


class PostgresInvites:
    """The invites of one organisation."""

    def __init__(self, connection: AsyncConnection, organisation_id: OrganisationId) -> None:
        self._connection = connection
        self._organisation_id = organisation_id

    async def add(self, invite: Invite) -> None:
        """Store a new invite."""
        await self._connection.execute(
            sa.insert(invites),
            {
                "organisation_id": self._organisation_id,
                "id": invite.id,
                "email": invite.email,
                "role": invite.role,
                "token_digest": invite.token_digest,
                "status": invite.status,
                "created_at": invite.created_at,
                "expires_at": invite.expires_at,
            },
        )

    async def pending(self, email: Email) -> Invite | None:
        """The invite to this address that is neither accepted nor marked expired."""
        keys = {"organisation_id": self._organisation_id, "email": email}
        row = (await self._connection.execute(_PENDING_INVITE, keys)).first()
        return invite_entity(row) if row else None

    async def with_digest(self, token_digest: bytes) -> Invite | None:
        """The invite whose secret has this digest."""
        keys = {"organisation_id": self._organisation_id, "digest": token_digest}
        row = (await self._connection.execute(_INVITE_WITH_DIGEST, keys)).first()
        return invite_entity(row) if row else None

    async def save(self, invite: Invite) -> None:
        """Store what the invite has become; only its status ever changes."""
        await self._connection.execute(
            sa.update(invites)
            .where(invites.c.organisation_id == self._organisation_id, invites.c.id == invite.id)
            .values(status=invite.status)
        )


def invite_entity(row: sa.Row[Any]) -> Invite:
    """The invite in a row of `invites`."""
    return Invite(
        id=InviteId(row.id),
        email=Email(row.email),
        role=Role(row.role),
        token_digest=row.token_digest,
        status=InviteStatus(row.status),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
