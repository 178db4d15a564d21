"""Pages of lists: `?limit=` and an opaque `?cursor=`, which contains a key and no offset, so that pages never shift."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from litestar.params import Parameter

from saas.application.views import PageRequest
from saas.domain.errors import InvalidValue
from saas.entrypoints.http.messages import Meta, Page

MAX_LIMIT = 200

Limit = Annotated[int, Parameter(ge=1, le=MAX_LIMIT, description="How many entries at most.")]
Cursor = Annotated[
    str | None, Parameter(max_length=200, description="`meta.nextCursor` of the page before; none for the first.")
]

Item = TypeVar("Item")
Key = TypeVar("Key")


def request_for(limit: int, cursor: str | None, parse: Callable[[str], Key]) -> PageRequest[Key]:
    """The request for one item more than `limit`, to know whether there is a next page. Raises `InvalidValue`."""
    if cursor is None:
        return PageRequest(limit + 1)
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return PageRequest(limit + 1, parse(base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii")))
    except (ValueError, binascii.Error):
        raise InvalidValue("cursor", "Not a cursor of this list. Use meta.nextCursor as it was given.") from None


def page_of(items: Sequence[Item], limit: int, message: str, key: Callable[[Item], str]) -> Page[Item]:
    """The page of the first `limit` items, with the cursor of the next page."""
    if len(items) <= limit:
        return Page(message=message, data=items, meta=Meta(None))
    shown = items[:limit]
    cursor = base64.urlsafe_b64encode(key(shown[-1]).encode("ascii")).rstrip(b"=").decode("ascii")
    return Page(message=message, data=shown, meta=Meta(cursor))
