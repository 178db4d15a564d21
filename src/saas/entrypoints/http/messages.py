"""JSON over HTTP: the bodies of requests, and the envelopes and views of replies.

The limits are here for the API description only; the domain enforces them, with better messages.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec

from saas.application.invite_user import InviteUserCommand
from saas.application.views import View
from saas.domain.plans import Plan
from saas.domain.values import EMAIL_OCTETS, MESSAGE_CHARACTERS, NAME_CHARACTERS, PASSWORD_CHARACTERS, InviteId, Role

Data = TypeVar("Data")


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """The base of request bodies; unknown fields are ignored."""


class Success(msgspec.Struct, Generic[Data], frozen=True, kw_only=True):
    """The envelope of every successful reply."""

    success: bool = True
    message: str
    data: Data


class Meta(View, frozen=True):
    """Where the next page starts: pass `nextCursor` as `?cursor=`; null on the last page."""

    next_cursor: str | None


class Page(msgspec.Struct, Generic[Data], frozen=True, kw_only=True):
    """The envelope of every list."""

    success: bool = True
    message: str
    data: Sequence[Data]
    meta: Meta


def _text(description: str, example: str | None, **schema: object) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"description": description, "examples": [example], "extra": schema})


def _choice(example: str) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"examples": [example]})


Name = Annotated[str, _text("Shown to others.", "Ada Lovelace", min_length=1, max_length=NAME_CHARACTERS)]
EmailText = Annotated[
    str, _text("Letter case does not matter.", "ada@example.com", format="email", max_length=EMAIL_OCTETS)
]
PasswordText = Annotated[
    str,
    _text(
        "Any characters; a sentence is fine.",
        "correct horse battery staple",
        min_length=PASSWORD_CHARACTERS[0],
        max_length=PASSWORD_CHARACTERS[1],
    ),
]
RefreshToken = Annotated[str, _text("The refresh token of the last reply.", "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9")]
Into = Annotated[
    UUID | None,
    _text("One of the person's organisations. Default: the first they joined; when refreshing, the same.", None),
]


class RegisterRequest(Message, frozen=True):
    """A person, and the organisation to create."""

    name: Name
    email: EmailText
    password: PasswordText
    organisation_name: Annotated[
        str, _text("Its slug is made from this.", "Acme", min_length=1, max_length=NAME_CHARACTERS)
    ]


class LogInRequest(Message, frozen=True):
    """Credentials; `organisationId` picks one of several organisations."""

    email: EmailText
    password: PasswordText
    organisation_id: Into = None


class RefreshRequest(Message, frozen=True):
    """A refresh token; `organisationId` switches to another of the person's organisations."""

    refresh_token: RefreshToken
    organisation_id: Into = None


class LogOutRequest(Message, frozen=True):
    """Optionally the refresh token of another session of the same person, to end it too."""

    refresh_token: RefreshToken | None = None


class ChangePlanRequest(Message, frozen=True):
    """The plan to move to."""

    plan: Annotated[Plan, _choice("PRO")]


class BroadcastRequest(Message, frozen=True):
    """The message for everyone."""

    message: Annotated[str, _text("Kept as written.", "Lunch at noon!", min_length=1, max_length=MESSAGE_CHARACTERS)]


class InviteRequest(Message, frozen=True):
    """The address to invite, and the role to give; MEMBER by default."""

    email: Annotated[str, _text("Whom to invite.", "bo@example.com", format="email", max_length=EMAIL_OCTETS)]
    role: Annotated[Role, _choice("MEMBER")] = Role.MEMBER

    def command(self) -> InviteUserCommand:
        """The command for the use case."""
        return InviteUserCommand(email=self.email, role=self.role)


class ChangeRoleRequest(Message, frozen=True):
    """The new role."""

    role: Annotated[Role, _choice("ADMIN")]


class AcceptInviteRequest(Message, frozen=True):
    """The invite's token, a name, and a password: a new one, or that of the account that the address already has."""

    token: Annotated[str, _text("From the invite.", "AZogKL2qc4WDMGQzthSwgf...", min_length=1)]
    name: Name
    password: PasswordText


class InviteView(View, frozen=True):
    """An invite as its sender sees it. Pass the token on: no other reply has it, and there is no e-mail service."""

    id: InviteId
    email: str
    role: Role
    token: str
    expires_at: datetime


class AcceptedView(View, frozen=True):
    """The new member."""

    id: UUID
    name: str
    email: str
    role: Role
    organisation_id: UUID


class RemovedView(View, frozen=True):
    """The member was removed."""

    removed: bool


class HealthView(View, frozen=True):
    """The process answers."""

    status: str
