"""/api/activities: the feed."""

import re

from litestar import Controller, get

from saas.application.views import ActivityView
from saas.entrypoints.http.auth import require_actor
from saas.entrypoints.http.dependencies import CurrentActor, Use
from saas.entrypoints.http.errors import problems
from saas.entrypoints.http.messages import Page
from saas.entrypoints.http.paging import Cursor, Limit, page_of, request_for


class ActivityController(Controller):
    """Everything that has happened in the organisation."""

    path = "/api/activities"
    tags = ("Activity",)
    guards = (require_actor,)
    security = ({"bearer": []},)

    @get(summary="Get the activity feed", responses=problems(400, 401, 422))
    async def list_activities(
        self,
        actor: CurrentActor,
        use: Use,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[ActivityView]:
        """Newest first. `seq` is the same number as in the frames of the live channel."""
        request = request_for(limit, cursor, _seq)
        return page_of(await use.list_activities(actor, request), limit, "Activities", lambda each: str(each.seq))


def _seq(key: str) -> int:
    """The seq in a cursor. Raises `ValueError` unless it is a number of at most 18 digits, which fits a bigint."""
    if not re.fullmatch(r"[0-9]{1,18}", key):
        raise ValueError(key)
    return int(key)
