"""Health routes: whether the process works, and whether it can serve."""

from litestar import get

from saas.domain.errors import Unavailable
from saas.entrypoints.http.dependencies import CurrentService
from saas.entrypoints.http.errors import problems
from saas.entrypoints.http.messages import HealthView


@get("/health", summary="Alive", tags=["Health"], responses=problems(anywhere=(500,)))
async def health() -> HealthView:
    """The process answers. The database is not asked, so that its outage does not lead to a restart."""
    return HealthView("ok")


@get("/health/ready", summary="Ready", tags=["Health"], responses=problems(anywhere=(500, 503)))
async def ready(service: CurrentService) -> HealthView:
    """Requests can be served; 503 while the database cannot be reached or the process is shutting down."""
    if service.draining:
        raise Unavailable
    await service.reads.ping()
    return HealthView("ok")
