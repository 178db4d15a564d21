"""/api/organisations: the actor's organisation, its plan, and broadcasts to its members."""

from litestar import Controller, get, patch, post
from litestar.params import JSONBody

from saas.application.views import ActivityView, OrganisationView
from saas.entrypoints.http.auth import require_actor
from saas.entrypoints.http.dependencies import CurrentActor, Use
from saas.entrypoints.http.errors import problems
from saas.entrypoints.http.messages import BroadcastRequest, ChangePlanRequest, Success


class OrganisationController(Controller):
    """The organisation that the access token is for."""

    path = "/api/organisations"
    tags = ("Organisations",)
    guards = (require_actor,)
    security = ({"bearer": []},)

    @get(summary="Get organisation details", responses=problems(401))
    async def get_organisation(self, actor: CurrentActor, use: Use) -> Success[OrganisationView]:
        """Name, plan, number of members and of seats; `memberLimit` null means unlimited seats."""
        return Success(message="Organisation", data=await use.get_organisation(actor))

    @patch(
        "/subscription",
        summary="Change the subscription plan",
        responses=problems(400, 401, 403, 409, 413, 415, 422),
    )
    async def change_plan(
        self,
        data: JSONBody[ChangePlanRequest],
        actor: CurrentActor,
        use: Use,
    ) -> Success[OrganisationView]:
        """Change the plan; for admins. A smaller plan must have enough seats for those in use."""
        return Success(message="Plan changed", data=await use.upgrade_plan(actor, data.plan))

    @post("/broadcast", summary="Broadcast a message", responses=problems(400, 401, 403, 413, 415, 422))
    async def broadcast(
        self,
        data: JSONBody[BroadcastRequest],
        actor: CurrentActor,
        use: Use,
    ) -> Success[ActivityView]:
        """Send a message to everyone; for admins. It is added to the feed and sent to every open socket."""
        return Success(message="Message broadcast", data=ActivityView.of(await use.broadcast(actor, data.message)))
