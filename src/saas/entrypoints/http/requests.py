"""Reads JSON bodies strictly: refuses as malformed what PostgreSQL cannot store or what could crash a parser."""

import re
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, HTTPException, InternalServerException
from litestar.types import Empty

MAX_BODY_BYTES = 256 * 1024

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnsupportedMediaTypeError(HTTPException):
    """The body is not declared as JSON."""

    status_code = 415


class RequestIncompleteError(HTTPException):
    """The client left, or was too slow, before its request was complete; most likely it does not read this reply."""

    status_code = 408


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body, if any, is JSON (RFC 8259) in UTF-8 that PostgreSQL can store."""

    async def body(self) -> bytes:
        """The body. Raises 408 when the client leaves before it is complete; Litestar itself would reply with a 500."""
        try:
            return await super().body()
        except InternalServerException:
            raise RequestIncompleteError from None

    async def json(self) -> Any:  # noqa: ANN401  # the message classes check its structure
        """The decoded body. Raises 415 for another media type, 400 when malformed, nested too deeply or with NUL."""
        if self._json is Empty:
            media_type, _ = self.content_type
            if media_type and media_type != "application/json" and not media_type.endswith("+json"):
                raise UnsupportedMediaTypeError
            body = await self.body()
            if _NUL_ESCAPE.search(body):
                raise ClientException("The body contains a NUL character, which no field may.")
            try:
                self._json = msgspec.json.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ClientException(f"The body is not valid JSON in UTF-8: {error}.") from None
            except RecursionError:
                raise ClientException("The body is nested too deeply.") from None
        return self._json
