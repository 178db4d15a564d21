"""Rows in dictionaries; keys of rows that belong to an organisation begin with its id."""

from collections.abc import Iterator, MutableMapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from saas.domain.events import Activity
from saas.domain.invites import Invite
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import Email, InviteId, OrganisationId, SessionId, UserId

Key = TypeVar("Key")
Row = TypeVar("Row")


class Table(MutableMapping[Key, Row]):
    """A dictionary that copies rows on the way in and out: a changed row counts only once it is stored again.

    Entities are flat and their values are immutable, so a shallow copy is enough.
    """

    def __init__(self) -> None:
        self._rows: dict[Key, Row] = {}

    def __getitem__(self, key: Key) -> Row:
        return copy(self._rows[key])

    def __setitem__(self, key: Key, row: Row) -> None:
        self._rows[key] = copy(row)

    def __delitem__(self, key: Key) -> None:
        del self._rows[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return repr(self._rows)

    def snapshot(self) -> "Table[Key, Row]":
        """Returns a copy of the table, which later changes to this one do not affect."""
        snapshot = Table[Key, Row]()
        snapshot._rows.update(self._rows)
        return snapshot


@dataclass(frozen=True, slots=True)
class Tables:
    """All stored rows, and the look-ups that commands and reads share."""

    users: Table[UserId, User] = field(default_factory=Table)
    sessions: Table[SessionId, Session] = field(default_factory=Table)
    organisations: Table[OrganisationId, Organisation] = field(default_factory=Table)
    memberships: Table[tuple[OrganisationId, UserId], Membership] = field(default_factory=Table)
    invites: Table[tuple[OrganisationId, InviteId], Invite] = field(default_factory=Table)
    activities: Table[tuple[OrganisationId, int], Activity] = field(default_factory=Table)

    def snapshot(self) -> "Tables":
        """Returns a copy of all tables, which later changes do not affect."""
        return Tables(
            self.users.snapshot(),
            self.sessions.snapshot(),
            self.organisations.snapshot(),
            self.memberships.snapshot(),
            self.invites.snapshot(),
            self.activities.snapshot(),
        )

    def user(self, email: Email) -> User | None:
        """The person with this address."""
        return next((user for user in self.users.values() if user.email == email), None)

    def membership(self, organisation_id: OrganisationId, user_id: UserId) -> Membership | None:
        """Returns a person's membership in an organisation, with the person's present name.

        Raises `KeyError` for a member who is not a user, which a database prevents with a foreign key.
        """
        membership = self.memberships.get((organisation_id, user_id))
        return membership and replace(membership, person=self.users[user_id].person)

    def members(self, organisation_id: OrganisationId) -> list[Membership]:
        """All members of an organisation, in no particular order."""
        members = (self.membership(*key) for key in self.memberships if key[0] == organisation_id)
        return [member for member in members if member]

    def invites_of(self, organisation_id: OrganisationId) -> list[Invite]:
        """All invites of an organisation, in no particular order."""
        return [invite for key, invite in self.invites.items() if key[0] == organisation_id]

    def activities_of(self, organisation_id: OrganisationId) -> list[Activity]:
        """The activities of an organisation, the oldest first."""
        return [activity for key, activity in self.activities.items() if key[0] == organisation_id]

    def invite(self, organisation_id: OrganisationId, token_digest: bytes) -> Invite | None:
        """The organisation's invite whose secret has this digest."""
        invites = self.invites_of(organisation_id)
        return next((invite for invite in invites if invite.token_digest == token_digest), None)
