"""What signing in gives: a pair of tokens that speak for one person in one organisation."""

from collections.abc import Sequence
from typing import Self

from saas.application.ports import Tokens
from saas.application.views import Affiliation, View
from saas.domain.members import User
from saas.domain.plans import Plan
from saas.domain.sessions import Session
from saas.domain.values import OrganisationId, Role, UserId


class TokenPair(View, frozen=True):
    """A short-lived token to ask with, and a one-time token to get the next pair with."""

    access_token: str
    refresh_token: str

    @classmethod
    def issue(cls, session: Session, role: Role, tokens: Tokens) -> Self:
        """The pair for a session as it is now."""
        return cls(
            tokens.access(session.user_id, session.organisation_id, role, session.id),
            tokens.refresh(session.id, session.generation),
        )


class SignedInUser(View, frozen=True):
    """Who signed in, with their role in the organisation the tokens speak for."""

    id: UserId
    name: str
    email: str
    role: Role


class SignedInOrganisation(View, frozen=True):
    """The organisation the tokens speak for."""

    id: OrganisationId
    name: str
    slug: str
    subscription_plan: Plan


class OrganisationChoice(View, frozen=True):
    """An organisation the person may switch to."""

    id: OrganisationId
    name: str
    slug: str
    role: Role


class SignedIn(View, frozen=True):
    """The reply to registering."""

    access_token: str
    refresh_token: str
    user: SignedInUser
    organisation: SignedInOrganisation


class LoggedIn(SignedIn, frozen=True):
    """The reply to logging in, with all organisations of the person."""

    organisations: Sequence[OrganisationChoice]


def signed_in(user: User, session: Session, into: Affiliation, tokens: Tokens) -> SignedIn:
    """What `user` gets for `session`, which speaks for them in the organisation `into`."""
    pair = TokenPair.issue(session, into.role, tokens)
    return SignedIn(
        pair.access_token,
        pair.refresh_token,
        SignedInUser(user.id, user.name, user.email, into.role),
        SignedInOrganisation(into.id, into.name, into.slug, into.subscription_plan),
    )


def logged_in(
    user: User, session: Session, into: Affiliation, affiliations: Sequence[Affiliation], tokens: Tokens
) -> LoggedIn:
    """The same, with the list of the person's organisations."""
    entered = signed_in(user, session, into, tokens)
    choice = [OrganisationChoice(each.id, each.name, each.slug, each.role) for each in affiliations]
    return LoggedIn(entered.access_token, entered.refresh_token, entered.user, entered.organisation, choice)
