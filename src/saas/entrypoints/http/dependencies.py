"""The dependencies of handlers: a handler declares a parameter with one of these types and its fixed name."""

from typing import Any

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from saas.application.actor import Actor
from saas.entrypoints.composition import Service, UseCases

Use = NamedDependency[SkipValidation[UseCases]]
"""`use`: all use cases of the application."""

CurrentActor = NamedDependency[SkipValidation[Actor]]
"""`actor`: the authenticated actor; only for handlers with the guard `require_actor`."""

CurrentService = NamedDependency[SkipValidation[Service]]
"""`service`: the service of this process."""


def provided(service: Service) -> dict[str, Provide]:
    """The dependencies by name."""
    return {
        "use": Provide(lambda: service.use_cases, sync_to_thread=False),
        "service": Provide(lambda: service, sync_to_thread=False),
        "actor": Provide(_actor, sync_to_thread=False),
    }


def _actor(request: Request[Actor, Any, Any]) -> Actor:
    return request.user
