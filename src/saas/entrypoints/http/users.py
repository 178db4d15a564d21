"""/api/users: the members of an organisation: listing, inviting, changing roles and removing them."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK

from saas.application.accept_invite import AcceptInviteCommand
from saas.application.actor import Actor
from saas.application.views import MemberView
from saas.domain.errors import NotFound
from saas.domain.values import UserId
from saas.entrypoints.http.auth import require_actor
from saas.entrypoints.http.dependencies import CurrentActor, Use
from saas.entrypoints.http.errors import problems
from saas.entrypoints.http.messages import (
    AcceptedView,
    AcceptInviteRequest,
    ChangeRoleRequest,
    InviteRequest,
    InviteView,
    Page,
    RemovedView,
    Success,
)
from saas.entrypoints.http.paging import Cursor, Limit, page_of, request_for

MemberId = Annotated[str, Parameter(description="The member's id.")]


class UserController(Controller):
    """The members of an organisation; all routes but accepting an invite are for admins."""

    path = "/api/users"
    tags = ("Users",)

    @get(
        summary="List the members",
        guards=[require_actor],
        security=[{"bearer": []}],
        responses=problems(400, 401, 403, 422),
    )
    async def list_users(
        self,
        actor: CurrentActor,
        use: Use,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[MemberView]:
        """The members, in the order in which their accounts were opened."""
        request = request_for(limit, cursor, lambda key: UserId(UUID(key)))
        return page_of(await use.list_users(actor, request), limit, "Users", lambda user: str(user.id))

    @post(
        "/invite",
        summary="Invite a person",
        guards=[require_actor],
        security=[{"bearer": []}],
        responses=problems(400, 401, 403, 409, 413, 415, 422),
    )
    async def invite(
        self,
        data: JSONBody[InviteRequest],
        actor: CurrentActor,
        use: Use,
    ) -> Success[InviteView]:
        """Reserve a seat for an e-mail address for 24 hours. There is no e-mail service: pass the token on yourself."""
        invite, token = await use.invite_user(actor, data.command())
        view = InviteView(invite.id, invite.email, invite.role, token, invite.expires_at)
        return Success(message="Invited", data=view)

    @post("/accept-invite", summary="Accept an invite", responses=problems(400, 403, 404, 409, 410, 413, 415, 422))
    async def accept_invite(self, data: JSONBody[AcceptInviteRequest], use: Use) -> Success[AcceptedView]:
        """Become a member, with a new account or, if the address has an account already, with its password."""
        command = AcceptInviteCommand(token=data.token, name=data.name, password=data.password)
        member = await use.accept_invite(command)
        view = AcceptedView(member.id, member.name, member.email, member.role, member.organisation_id)
        return Success(message="Invite accepted", data=view)

    @patch(
        "/{id:str}",
        summary="Change a member's role",
        guards=[require_actor],
        security=[{"bearer": []}],
        responses=problems(400, 401, 403, 404, 409, 413, 415, 422),
    )
    async def change_role(
        self,
        id: MemberId,  # noqa: A002  # the public name
        data: JSONBody[ChangeRoleRequest],
        actor: CurrentActor,
        use: Use,
    ) -> Success[MemberView]:
        """Make a member an ADMIN or an admin a MEMBER, from their next request on. The last admin cannot be changed."""
        return Success(message="Role changed", data=await use.change_role(actor, _user_id(id, actor), data.role))

    @delete(
        "/{id:str}",
        summary="Remove a member",
        status_code=HTTP_200_OK,
        guards=[require_actor],
        security=[{"bearer": []}],
        responses=problems(400, 401, 403, 404),
    )
    async def remove(
        self,
        id: MemberId,  # noqa: A002  # the public name
        actor: CurrentActor,
        use: Use,
    ) -> Success[RemovedView]:
        """Remove the member and free the seat. Their tokens and sockets end at once; their name stays in the feed."""
        await use.remove_user(actor, _user_id(id, actor))
        return Success(message="User removed", data=RemovedView(removed=True))


def _user_id(text: str, actor: Actor) -> UserId:
    """The id. A text that is no UUID raises what an unknown id raises in the use case: `AdminOnly` or `NotFound`."""
    try:
        return UserId(UUID(text))
    except ValueError:
        actor.require_admin()
        raise NotFound("user") from None
