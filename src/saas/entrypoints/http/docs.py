"""/docs: the OpenAPI document, and Swagger UI to show it, from local files so that it works without the internet."""

import re
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import litestar_offline_docs
import msgspec
from litestar import Request, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.params import FromPath
from litestar.response import File

ASSETS = "/docs-assets"

DESCRIPTION = """
Organisations, members and their roles, invites, plans with seats, an activity feed, and a [live channel](/docs/live)
at `/ws` that sends each activity as it happens.

**To try it here**: send *Register*, copy `accessToken` from the reply, press **Authorize** and paste it.

A client address may send 100 requests a minute, and 10 of them to `/api/auth/*` and `accept-invite` together, unless
the server is configured otherwise. Further requests get a 429 until the seconds in `Retry-After` have passed.

Every reply carries `X-Request-ID`. Refusals are problem details (RFC 9457) whose `code` is stable:
{codes}.
"""

_ENVELOPE = re.compile(r"(Success|Page)_(?:\w+\.)*(\w+)_")


def openapi_config(version: str, codes: list[str]) -> OpenAPIConfig:
    """The description of the API, generated from the controllers."""
    return OpenAPIConfig(
        title="SaaS API",
        version=version,
        description=DESCRIPTION.format(codes=", ".join(f"`{code}`" for code in codes)),
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, before_request=_refuse_unknown),
        use_handler_docstrings=True,
        operation_id_creator=lambda handler, _method, _path: _camel(handler.fn.__name__),
        tags=[Tag(name) for name in ("Auth", "Organisations", "Users", "Activity", "Health")],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        render_plugins=[
            _Swagger(
                path="/",
                js_url=f"{ASSETS}/swagger-ui-bundle.js",
                css_url=f"{ASSETS}/swagger-ui.css",
                standalone_preset_js_url=f"{ASSETS}/swagger-ui-standalone-preset.js",
                favicon="<link rel='icon' href='data:,'>",
            ),
            _Json(path=["/openapi.json", "/spec"]),
        ],
    )


_STATIC = Path(litestar_offline_docs.__file__).parent / "static"
_ASSETS = {path.name: path for path in _STATIC.iterdir() if path.is_file()}


@get(ASSETS + "/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> File:
    """A file of Swagger UI, from the package `litestar-offline-docs`."""
    if name not in _ASSETS:
        raise NotFoundException
    return File(_ASSETS[name], media_type=guess_type(name)[0], content_disposition_type="inline")


class _Swagger(SwaggerRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _edited(openapi_schema))


class _Json(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _edited(openapi_schema))


def _edited(generated: dict[str, Any]) -> dict[str, Any]:
    """The generated document with what Litestar cannot express: readable names, and which bodies are optional."""
    text = msgspec.json.encode(generated).decode()
    for name in generated["components"]["schemas"]:
        text = text.replace(f'schemas/{name}"', f'schemas/{_public(name)}"')
    document: dict[str, Any] = msgspec.json.decode(text)
    schemas = {_public(name): schema for name, schema in document["components"]["schemas"].items()}
    document["components"]["schemas"] = schemas
    for name, schema in schemas.items():
        schema["title"] = name
        if "enum" in schema:  # Litestar moves one field's default and examples to the enumeration
            schema.pop("default", None)
            schema.pop("examples", None)
        if "success" in schema.get("properties", ()):
            schema["required"] = sorted({*schema["required"], "success", "data"})  # the defaults are sent too
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                response["description"] = HTTPStatus(int(status)).phrase
            if body := operation.get("requestBody"):
                body["required"] = "oneOf" not in body["content"]["application/json"]["schema"]
    return document


def _public(name: str) -> str:
    """The public name: `Success_saas.application.views.MemberView_` becomes MemberReply, `MemberView` Member."""
    if envelope := _ENVELOPE.fullmatch(name):
        kind, content = envelope.groups()
        return content.replace("NoneType", "Empty").removesuffix("View") + {"Success": "Reply"}.get(kind, kind)
    return name.removesuffix("View")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """Answer unknown addresses under /docs with our own 404; Litestar's catch-all route here answers in HTML."""
    if request.path_params:
        raise NotFoundException
