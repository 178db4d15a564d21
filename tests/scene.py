"""What tests are made of: a clock that moves when told to, and things in a plausible state."""

import secrets
from datetime import UTC, datetime, timedelta

from saas.adapters.memory import MemoryStore
from saas.adapters.system import new_id
from saas.application.actor import Actor
from saas.domain.invites import INVITE_LIFETIME, Invite, InviteStatus
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.sessions import Session
from saas.domain.values import Email, InviteId, OrganisationId, Role, SessionId, UserId

NOW = datetime(2026, 1, 15, 12, 30, 45, 123456, tzinfo=UTC)
IDLE = timedelta(days=7)
PASSWORD = "correct horse"


class MovableClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


def user(name: str = "Ada", email: str | None = None, *, at: datetime = NOW, password: str = PASSWORD) -> User:
    """Somebody whose address, unless given, nobody else has; the hash is the one `PlainPasswords` makes."""
    user_id = UserId(new_id())
    address = email or f"{name.lower()}.{user_id.hex[-12:]}@acme.test"
    return User(id=user_id, email=Email(address), name=name, password_hash=f"plain:{password}", created_at=at)


def organisation(
    name: str = "Acme", *, plan: Plan = Plan.FREE, members: int = 1, reserved: int = 0, at: datetime = NOW
) -> Organisation:
    organisation_id = OrganisationId(new_id())
    return Organisation(
        id=organisation_id,
        name=name,
        slug=f"{name.lower()}-{organisation_id.hex[-12:]}",
        plan=plan,
        members=members,
        reserved=reserved,
        created_at=at,
    )


def session(
    of: User, into: Organisation, *, at: datetime = NOW, idle: timedelta = IDLE, ended_at: datetime | None = None
) -> Session:
    started = Session.start(SessionId(new_id()), of.id, into.id, idle=idle, at=at)
    started.ended_at = ended_at
    return started


def invite(
    email: str = "bo@acme.test",
    *,
    role: Role = Role.MEMBER,
    status: InviteStatus = InviteStatus.PENDING,
    at: datetime = NOW,
    digest: bytes | None = None,
) -> Invite:
    return Invite(
        id=InviteId(new_id()),
        email=Email(email),
        role=role,
        token_digest=digest or secrets.token_bytes(32),
        status=status,
        created_at=at,
        expires_at=at + INVITE_LIFETIME,
    )


def membership(of: User, role: Role = Role.MEMBER, *, at: datetime = NOW) -> Membership:
    return Membership(person=of.person, role=role, joined_at=at, updated_at=at)


def admin_of(acme: Organisation, who: User | None = None) -> Actor:
    """An admin as `Authenticate` proves them; the store need not know them."""
    return Actor((who or user()).person, acme.id, Role.ADMIN, SessionId(new_id()))


def member_of(acme: Organisation, who: User | None = None) -> Actor:
    """A plain member as `Authenticate` proves them."""
    return Actor((who or user("Bo")).person, acme.id, Role.MEMBER, SessionId(new_id()))


def sign_in(store: MemoryStore, who: User, acme: Organisation, role: Role = Role.MEMBER) -> Actor:
    """Put a member and a living session of theirs into the store."""
    living = session(who, acme)
    store.add(who, acme, living)
    store.add_to(acme, membership(who, role))
    return Actor(who.person, acme.id, role, living.id)
