"""The ASGI application: controllers, error handling and documentation, wrapped in the `Edge`."""

import os
from importlib.metadata import version

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from saas.domain.errors import SaasError
from saas.entrypoints.composition import Service
from saas.entrypoints.http.accounts import AuthController
from saas.entrypoints.http.activities import ActivityController
from saas.entrypoints.http.asyncapi import asyncapi_router
from saas.entrypoints.http.dependencies import provided
from saas.entrypoints.http.docs import asset, openapi_config
from saas.entrypoints.http.draining import drain_on_sigterm
from saas.entrypoints.http.edge import Edge
from saas.entrypoints.http.errors import EXCEPTION_HANDLERS, HTTP_CODES
from saas.entrypoints.http.health import health, ready
from saas.entrypoints.http.live import live, plain_get
from saas.entrypoints.http.organisations import OrganisationController
from saas.entrypoints.http.requests import MAX_BODY_BYTES, JsonRequest
from saas.entrypoints.http.users import UserController
from saas.entrypoints.settings import Settings


def create_app() -> ASGIApp:
    """The application with the settings of the environment; servers call this factory."""
    settings = Settings.from_environment(os.environ)
    return build_app(Service(settings), settings)


def build_app(service: Service, settings: Settings) -> ASGIApp:
    """The application that serves this service."""
    app = Litestar(
        route_handlers=[
            AuthController,
            OrganisationController,
            UserController,
            ActivityController,
            health,
            ready,
            live,
            plain_get,
            asset,
            asyncapi_router(version("saas")),
        ],
        dependencies=provided(service),
        lifespan=[lambda _: service.running()],
        on_startup=[lambda: drain_on_sigterm(service)],
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=JsonRequest,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(version("saas"), _codes()),
        logging_config=None,
        state=State({"use_cases": service.use_cases}),
    )
    return Edge(app, app.routes, settings)


def _codes() -> list[str]:
    kinds = [SaasError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    elsewhere = {code for code, _ in HTTP_CODES.values()} | {"foreign_origin", "internal_error"}
    return sorted({kind.code for kind in kinds[1:]} | elsewhere)
