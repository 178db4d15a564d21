"""User: a person with an account. Membership: their role in one organisation."""

from dataclasses import dataclass
from datetime import datetime

from saas.domain.errors import AlreadyInRole, CannotRemoveAdmin, CannotRemoveYourself, LastAdmin
from saas.domain.events import UserRemoved, UserRoleChanged
from saas.domain.values import Email, Person, Role, UserId


@dataclass(slots=True, kw_only=True)
class User:
    """A person with an account; they may belong to several organisations."""

    id: UserId
    email: Email
    name: str
    password_hash: str
    created_at: datetime

    @property
    def person(self) -> Person:
        """How events name this user."""
        return Person(self.id, self.name, self.email)


@dataclass(slots=True, kw_only=True)
class Membership:
    """A person's place in the organisation it was loaded from."""

    person: Person
    role: Role
    joined_at: datetime
    updated_at: datetime

    def remove(self, *, by: Person, at: datetime) -> UserRemoved:
        """Leave the organisation by an admin's hand. Raises `CannotRemoveYourself` or `CannotRemoveAdmin`."""
        if by.id == self.person.id:
            raise CannotRemoveYourself
        if self.role is Role.ADMIN:
            raise CannotRemoveAdmin
        return UserRemoved(actor=by, target=self.person, at=at)

    def change_role(self, role: Role, *, by: Person, admins: int, at: datetime) -> UserRoleChanged:
        """Take another role, in an organisation with so many `admins`. Raises `AlreadyInRole` or `LastAdmin`."""
        before = self.role
        if role is before:
            raise AlreadyInRole(role)
        if before is Role.ADMIN and admins == 1:
            raise LastAdmin
        self.role = role
        self.updated_at = at
        return UserRoleChanged(actor=by, target=self.person, before=before, after=role, at=at)
