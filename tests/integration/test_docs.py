"""The API's description: complete, true to the contract, and readable with no internet."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from saas.domain import errors
from saas.domain.errors import SaasError
from tests.integration.clients import Person, fresh_email, person, register
from tests.integration.replies import granted
from tests.integration.servers import ServerProcess

BODY = {400, 413, 415, 422}
TOKEN = {401}
ANY = {429, 500, 503}
HEALTHY = {"/health": {500}, "/health/ready": {500, 503}}
"""They are never limited, and the first needs nothing that could be missing."""

OPERATIONS: Mapping[tuple[str, str], tuple[int, set[int]]] = {
    ("post", "/api/auth/register"): (201, BODY | {409}),
    ("post", "/api/auth/login"): (200, BODY | {401, 403, 404}),
    ("post", "/api/auth/refresh"): (200, BODY | {401, 403, 404}),
    ("post", "/api/auth/logout"): (200, BODY | TOKEN),
    ("get", "/api/organisations"): (200, TOKEN),
    ("patch", "/api/organisations/subscription"): (200, BODY | TOKEN | {403, 409}),
    ("post", "/api/organisations/broadcast"): (201, BODY | TOKEN | {403}),
    ("get", "/api/users"): (200, TOKEN | {403, 422}),
    ("post", "/api/users/invite"): (201, BODY | TOKEN | {403, 409}),
    ("post", "/api/users/accept-invite"): (201, BODY | {403, 404, 409, 410}),
    ("patch", "/api/users/{id}"): (200, BODY | TOKEN | {403, 404, 409}),
    ("delete", "/api/users/{id}"): (200, TOKEN | {400, 403, 404}),
    ("get", "/api/activities"): (200, TOKEN | {422}),
    ("get", "/health"): (200, set()),
    ("get", "/health/ready"): (200, set()),
}
"""What each operation answers on success, and how it may refuse."""

PUBLIC = {"/api/auth/register", "/api/auth/login", "/api/auth/refresh", "/api/users/accept-invite"}
PUBLIC |= {"/health", "/health/ready"}
WITH_BODY = [key for key, (_, refusals) in OPERATIONS.items() if refusals >= BODY]


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> str:
    """The page that people open."""
    reply = httpx.get(f"{server.url}/docs")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return reply.text


@pytest.fixture(scope="module")
def document(server: ServerProcess) -> Any:  # noqa: ANN401  # JSON
    """The OpenAPI document."""
    return httpx.get(f"{server.url}/docs/openapi.json").raise_for_status().json()


def references(node: object) -> Iterator[str]:
    """Every `$ref` in the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def example(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The body that Swagger UI puts into its form."""
    properties = document["components"]["schemas"][name]["properties"]
    return {field: schema["examples"][0] for field, schema in properties.items()}


# The page


def test_the_page_refers_to_nothing_outside_this_server(page: str) -> None:
    tags = re.findall(r"<(?:link|script|img|iframe)\b[^>]*>", page)
    addresses = [address for tag in tags for address in re.findall(r"(?:src|href)=[\"']([^\"']+)", tag)]

    assert len(addresses) >= 3
    assert all(address.startswith(("/docs-assets/", "data:,")) for address in addresses)
    assert not re.findall(r"https?://", page)


async def test_everything_the_page_refers_to_is_served(http: httpx.AsyncClient, page: str) -> None:
    assets = re.findall(r"/docs-assets/[\w.-]+", page)

    kinds = {}
    for asset in assets:
        reply = await http.get(asset)
        assert reply.status_code == 200, asset
        assert len(reply.content) > 10_000, asset
        kinds[asset.rpartition(".")[2]] = reply.headers["content-type"].partition(";")[0]
    assert kinds == {"css": "text/css", "js": "text/javascript"}


async def test_the_styles_load_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    styles = (await http.get("/docs-assets/swagger-ui.css")).text

    loaded = re.findall(r"url\(([^)]{0,40})", styles)
    assert all(each.strip("\"'").startswith("data:") for each in loaded)
    assert "@import" not in styles


async def test_the_page_shows_the_document_that_is_served(
    http: httpx.AsyncClient, page: str, document: Mapping[str, Any]
) -> None:
    served = (await http.get("/docs/openapi.json")).text

    assert served in page


async def test_the_document_is_served_at_both_addresses(http: httpx.AsyncClient) -> None:
    one, other = await http.get("/docs/openapi.json"), await http.get("/docs/spec")

    assert (one.status_code, other.status_code) == (200, 200)
    assert one.content == other.content
    assert one.headers["content-type"] == other.headers["content-type"] == "application/vnd.oai.openapi+json"


# The document


def test_the_document_is_openapi_3_1(document: Mapping[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"]
    assert document["info"]["version"]


def test_every_route_of_the_contract_is_described_and_no_other(document: Mapping[str, Any]) -> None:
    described = {(method, path) for path, operations in document["paths"].items() for method in operations}

    assert described == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_names_its_success_and_every_refusal(document: Mapping[str, Any], method: str, path: str) -> None:
    responses = document["paths"][path][method]["responses"]
    success, refusals = OPERATIONS[method, path]

    assert [int(status) for status in responses if int(status) < 400] == [success]
    assert responses[str(success)]["content"]["application/json"]["schema"]
    described = {int(status) for status in responses if int(status) >= 400}
    assert described >= refusals | HEALTHY.get(path, ANY)
    if path in HEALTHY:
        assert described == HEALTHY[path]
    for status, response in responses.items():
        if int(status) >= 400:
            problem = {"$ref": "#/components/schemas/Problem"}
            assert response["content"] == {"application/problem+json": {"schema": problem}}, status


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_asks_for_a_token_exactly_if_it_is_protected(
    document: Mapping[str, Any], method: str, path: str
) -> None:
    operation = document["paths"][path][method]

    assert operation.get("security", []) == ([] if path in PUBLIC else [{"bearer": []}])
    assert ("401" in operation["responses"]) == (path not in PUBLIC or path in {"/api/auth/login", "/api/auth/refresh"})


def test_the_token_is_a_bearers(document: Mapping[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]

    assert schemes == {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    assert "security" not in document


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_request_body_is_described_field_by_field_with_an_example(
    document: Mapping[str, Any], method: str, path: str
) -> None:
    content = document["paths"][path][method]["requestBody"]["content"]
    assert content.keys() == {"application/json"}
    [name] = [reference.rpartition("/")[2] for reference in references(content)]
    body = document["components"]["schemas"][name]
    assert body["properties"]
    assert all(len(schema["examples"]) == 1 for schema in body["properties"].values())


def test_only_logging_out_goes_without_a_body(document: Mapping[str, Any]) -> None:
    optional = [path for method, path in WITH_BODY if not document["paths"][path][method]["requestBody"]["required"]]

    assert optional == ["/api/auth/logout"]


def test_lists_describe_their_paging(document: Mapping[str, Any]) -> None:
    for path in ("/api/users", "/api/activities"):
        parameters = {each["name"]: each for each in document["paths"][path]["get"]["parameters"]}
        assert parameters.keys() == {"limit", "cursor"}
        assert not any(each.get("required") for each in parameters.values())
        limit = parameters["limit"]["schema"]
        assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == ("integer", 1, 200, 50)


def test_every_operation_and_every_reference_has_a_name_fit_to_be_seen(document: Mapping[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]

    assert len(set(names)) == len(names) == len(OPERATIONS)
    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in document["components"]["schemas"])


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: Mapping[str, Any]) -> None:
    led_to = {reference.removeprefix("#/components/schemas/") for reference in references(document)}

    assert led_to == set(document["components"]["schemas"])


def test_a_choice_has_no_default_that_is_only_one_fields(document: Mapping[str, Any]) -> None:
    for name in ("Role", "Plan"):
        assert document["components"]["schemas"][name].keys() == {"type", "enum", "title", "description"}


def test_everything_in_a_reply_is_in_camel_case(document: Mapping[str, Any]) -> None:
    fields = [name for schema in document["components"]["schemas"].values() for name in schema.get("properties", ())]

    assert "nextCursor" in fields
    assert all(re.fullmatch(r"[a-z][A-Za-z]*", name) for name in fields)


def test_every_code_of_a_refusal_is_named(document: Mapping[str, Any]) -> None:
    codes = {
        error.code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, SaasError) and error is not SaasError
    }
    codes |= {"malformed_request", "no_such_route", "method_not_allowed", "body_too_large", "unsupported_media_type"}
    codes |= {
        "request_timeout",
        "headers_too_large",
        "too_many_requests",
        "upgrade_required",
        "foreign_origin",
        "internal_error",
    }

    named = set(re.findall(r"`(\w+)`", document["info"]["description"]))

    assert len(codes) > 20
    assert codes - named == set()


# Its examples


async def test_the_examples_work_as_they_stand_but_for_what_only_a_reply_can_tell(
    http: httpx.AsyncClient, document: Mapping[str, Any]
) -> None:
    """Addresses are made unique, and tokens taken from the replies before."""

    async def send(who: Person | None, path: str, status: int, **changed: str) -> Any:  # noqa: ANN401  # JSON
        [method] = [method for method, operation in document["paths"][path].items() if "requestBody" in operation]
        schema = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
        [name] = [reference.rpartition("/")[2] for reference in references(schema)]
        body = {**example(document, name), **changed}
        headers = {"Authorization": f"Bearer {who.access_token}"} if who else {}
        path = path.format(id=bos_id)
        return granted(await http.request(method, path, json=body, headers=headers), status)

    adas, bos, bos_id = fresh_email("ada"), fresh_email("bo"), ""
    assert example(document, "RegisterRequest")["email"] != example(document, "InviteRequest")["email"]

    await send(None, "/api/auth/register", 201, email=adas)
    ada = person(http, await send(None, "/api/auth/login", 200, email=adas))
    await send(ada, "/api/organisations/subscription", 200)
    await send(ada, "/api/organisations/broadcast", 201)
    invite = await send(ada, "/api/users/invite", 201, email=bos)
    bos_id = (await send(None, "/api/users/accept-invite", 201, token=invite["token"]))["id"]
    await send(ada, "/api/users/{id}", 200)
    await send(None, "/api/auth/refresh", 200, refreshToken=ada.refresh_token)
    await send(ada, "/api/auth/logout", 200)


async def test_real_replies_have_the_fields_that_are_described(
    http: httpx.AsyncClient, document: Mapping[str, Any]
) -> None:
    ada = await register(http)
    schemas = document["components"]["schemas"]

    for path, name in (
        ("/api/organisations", "Organisation"),
        ("/api/users", "Member"),
        ("/api/activities", "Activity"),
    ):
        data = (await ada.ask("GET", path)).json()["data"]
        [shown] = data if isinstance(data, list) else [data]
        assert shown.keys() == schemas[name]["properties"].keys() == set(schemas[name]["required"])
    problem = (await http.get("/api/users")).json()
    assert problem.keys() | {"errors"} == schemas["Problem"]["properties"].keys()
    assert problem.keys() == set(schemas["Problem"]["required"])
