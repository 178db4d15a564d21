"""/api/auth: register, log in, refresh, log out."""

from litestar import Controller, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from saas.application.log_in import LogInCommand
from saas.application.register import RegisterCommand
from saas.application.signed_in import LoggedIn, SignedIn, TokenPair
from saas.domain.values import OrganisationId
from saas.entrypoints.http.auth import require_actor
from saas.entrypoints.http.dependencies import CurrentActor, Use
from saas.entrypoints.http.errors import problems
from saas.entrypoints.http.messages import (
    LogInRequest,
    LogOutRequest,
    RefreshRequest,
    RegisterRequest,
    Success,
)


class AuthController(Controller):
    """Signing in and out."""

    path = "/api/auth"
    tags = ("Auth",)

    @post("/register", summary="Register and create an organisation", responses=problems(400, 409, 413, 415, 422))
    async def register(self, data: JSONBody[RegisterRequest], use: Use) -> Success[SignedIn]:
        """Open an account and an organisation on the FREE plan, with you as its admin."""
        command = RegisterCommand(
            name=data.name, email=data.email, password=data.password, organisation_name=data.organisation_name
        )
        return Success(message="Registered", data=await use.register(command))

    @post("/login", summary="Log in", status_code=HTTP_200_OK, responses=problems(400, 401, 403, 404, 413, 415, 422))
    async def log_in(self, data: JSONBody[LogInRequest], use: Use) -> Success[LoggedIn]:
        """Exchange e-mail and password for tokens in the given organisation, or in the one you joined first."""
        command = LogInCommand(
            email=data.email,
            password=data.password,
            organisation_id=OrganisationId(data.organisation_id) if data.organisation_id else None,
        )
        return Success(message="Logged in", data=await use.log_in(command))

    @post("/refresh", summary="Refresh", status_code=HTTP_200_OK, responses=problems(400, 401, 403, 404, 413, 415, 422))
    async def refresh(self, data: JSONBody[RefreshRequest], use: Use) -> Success[TokenPair]:
        """Exchange a refresh token, once, for the next pair of tokens. Using an older one ends the session."""
        organisation_id = OrganisationId(data.organisation_id) if data.organisation_id else None
        return Success(message="Refreshed", data=await use.refresh_session(data.refresh_token, organisation_id))

    @post(
        "/logout",
        summary="Log out",
        status_code=HTTP_200_OK,
        guards=[require_actor],
        security=[{"bearer": []}],
        responses=problems(400, 401, 413, 415, 422),
    )
    async def log_out(
        self,
        actor: CurrentActor,
        use: Use,
        data: JSONBody[LogOutRequest | None] = None,
    ) -> Success[None]:
        """End the session of the access token at once. Its access tokens and sockets stop working."""
        await use.log_out(actor, data.refresh_token if data else None)
        return Success(message="Logged out", data=None)
