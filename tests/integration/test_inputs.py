"""Whatever is sent, it is answered in good order: refused with a reason, and never with a 500."""

import asyncio
import base64
import hashlib
import hmac
import json
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from saas.adapters.system import new_id
from tests.integration.clients import PASSWORD, Person, fresh_email, log_in, person, register
from tests.integration.replies import granted, listed, refused, well_refused
from tests.integration.servers import SECRETS, ServerProcess

KIB = 1024
LISTS = ["/api/users", "/api/activities"]
NOBODY = "01890000-0000-7000-8000-000000000000"


class Route(NamedTuple):
    """A route that takes a body, and one that it would take."""

    method: str
    path: str
    body: Mapping[str, object]


ROUTES = {
    "register": Route(
        "POST",
        "/api/auth/register",
        {"name": "Ada", "email": "ada@example.test", "password": PASSWORD, "organisationName": "Acme"},
    ),
    "login": Route(
        "POST",
        "/api/auth/login",
        {"email": "nobody@example.test", "password": PASSWORD, "organisationId": NOBODY},
    ),
    "refresh": Route("POST", "/api/auth/refresh", {"refreshToken": "x.y.z", "organisationId": NOBODY}),
    "logout": Route("POST", "/api/auth/logout", {"refreshToken": "x.y.z"}),
    "subscription": Route("PATCH", "/api/organisations/subscription", {"plan": "FREE"}),
    "broadcast": Route("POST", "/api/organisations/broadcast", {"message": "Lunch!"}),
    "invite": Route("POST", "/api/users/invite", {"email": "bo@example.test", "role": "MEMBER"}),
    "role": Route("PATCH", "/api/users/{id}", {"role": "ADMIN"}),
    "accept-invite": Route("POST", "/api/users/accept-invite", {"token": "x", "name": "Bo", "password": PASSWORD}),
}
PROTECTED = {"logout", "subscription", "broadcast", "invite"}
FIELDS = [(name, field) for name, route in ROUTES.items() for field in route.body]
OPTIONAL = {("invite", "role"), ("login", "organisationId"), ("refresh", "organisationId"), ("logout", "refreshToken")}
REQUIRED = [each for each in FIELDS if each not in OPTIONAL]

MALFORMED = {
    "cut short": b'{"name": "Ada"',
    "no JSON": b"name=Ada",
    "two documents": b"{} {}",
    "a trailing comma": b'{"name": "Ada",}',
    "single quotes": b"{'name': 'Ada'}",
    "a comment": b'{"name": "Ada"} // Lovelace',
    "NaN": b'{"name": NaN}',
    "a number beyond all bounds": b'{"name": 1e999}',
    "100,000 digits": b'{"name": ' + b"9" * 100_000 + b"}",
    "a control character": b'{"name": "A\nda"}',
    "NUL alone": b"\0",
    "a raw NUL": b'{"name": "A\0da"}',
    "an escaped NUL": rb'{"name": "A\u0000da"}',
    "an escaped NUL after a backslash": rb'{"name": "A\\\u0000da"}',
    "an escaped NUL in a field nobody knows": rb'{"unknown": [{"deep": "\u0000"}]}',
    "an escaped NUL in a key": rb'{"\u0000": 1}',
    "a lone high surrogate": rb'{"name": "\ud83d"}',
    "a lone low surrogate": rb'{"name": "\ude00"}',
    "a surrogate pair in the wrong order": rb'{"name": "\ude00\ud83d"}',
    "a lone surrogate in a field nobody knows": rb'{"unknown": "\ud800!"}',
    "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
    "half a character": b'{"name": "\xc3"}',
    "an overlong NUL": b'{"name": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "Ada"}'.encode("utf-16"),
    "Latin-1": '{"name": "Zoë"}'.encode("latin-1"),
    "100,000 brackets": b"[" * 100_000,
    "100,000 brackets that close": b"[" * 100_000 + b"]" * 100_000,
    "40,000 braces in a field nobody knows": b'{"unknown": ' + b'{"a":' * 40_000 + b"1" + b"}" * 40_001,
}

HOSTILE: dict[str, object] = {
    "null": None,
    "true": True,
    "a number": 1,
    "a negative number": -1,
    "a fraction": 0.5,
    "a number beyond bigint": 2**64 - 1,
    "an empty list": [],
    "a list": ["x"],
    "an empty object": {},
    "an object": {"$gt": ""},
    "empty": "",
    "a blank": " ",
    "a no-break space": "\u00a0",
    "a control character": "a\x01b",
    "a terminal escape": "\x1b[2J",
    "a line break": "a\r\nSet-Cookie: b=c",
    "DEL": "\x7f",
    "an escape that is none": r"\u0000",
    "a quote": "'; drop table users; --",
    "a format": "%s %(name)s {0} {name} ${jndi:ldap://x}",
    "markup": "</script><script>alert(1)</script>",
    "a path": "../../../../etc/passwd",
    "right to left": "\u202eمحمد",
    "a joined family": "👩‍👩‍👧‍👦",
    "only combining marks": "\u0301" * 50,
    "unassigned": "\U000e0fff\uffff\U0010ffff",
    "a byte order mark": "\ufeff",
    "one that grows when normalised": "\ufb2c" * 60,
    "one that grows in lower case": "İ" * 60,
    "10,000 characters": "a" * 10_000,
    "200,000 characters": "é" * 100_000,
    "an e-mail": "ada@example.test",
    "an id": NOBODY,
    "a role": "ADMIN",
}


@pytest.fixture(scope="module")
async def http(server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """One client for the whole module, for hundreds would take their time."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


@pytest.fixture(scope="module")
async def ada(http: httpx.AsyncClient) -> Person:
    """The admin who sends all of it."""
    return await register(http)


@pytest.fixture(scope="module")
def description(server: ServerProcess) -> Any:  # noqa: ANN401  # JSON
    """The OpenAPI document."""
    return httpx.get(f"{server.url}/docs/openapi.json").json()


def bearer(who: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {who.access_token}"}


async def send(
    http: httpx.AsyncClient,
    who: Person,
    name: str,
    content: bytes | AsyncIterator[bytes],
    content_type: str | None = "application/json",
) -> httpx.Response:
    headers = bearer(who) | ({"Content-Type": content_type} if content_type else {})
    path = ROUTES[name].path.format(id=NOBODY)
    return await http.request(ROUTES[name].method, path, content=content, headers=headers)


async def send_json(http: httpx.AsyncClient, who: Person, name: str, body: object) -> httpx.Response:
    return await send(http, who, name, json.dumps(body).encode())


def assert_described(description: Mapping[str, Any], path: str, reply: httpx.Response) -> None:
    """The API description knows of this status, with this content type."""
    responses = description["paths"][path][reply.request.method.lower()]["responses"]
    assert reply.headers["content-type"] in responses[str(reply.status_code)]["content"]


# Bodies


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("payload", MALFORMED)
async def test_a_body_that_is_not_json_in_utf8_without_nul_is_malformed(
    http: httpx.AsyncClient, ada: Person, name: str, payload: str
) -> None:
    problem = refused(await send(http, ada, name, MALFORMED[payload]), 400, "malformed_request")

    assert "body" in problem["detail"]


@pytest.mark.parametrize("name", [name for name in ROUTES if name != "logout"])
async def test_a_body_that_is_wanted_must_be_there(http: httpx.AsyncClient, ada: Person, name: str) -> None:
    for content_type in ("application/json", None):
        problem = refused(await send(http, ada, name, b"", content_type), 400, "malformed_request")
        assert problem["detail"] == "A JSON body is required."


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("content", [b"[]", b"1", b'"{}"', b"true"])
async def test_a_body_that_is_no_object_breaks_a_rule(
    http: httpx.AsyncClient, ada: Person, name: str, content: bytes
) -> None:
    problem = refused(await send(http, ada, name, content), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == ["body"]


@pytest.mark.parametrize(("name", "field"), REQUIRED)
async def test_a_field_that_is_missing_is_named(http: httpx.AsyncClient, ada: Person, name: str, field: str) -> None:
    body = {key: value for key, value in ROUTES[name].body.items() if key != field}

    problem = refused(await send_json(http, ada, name, body), 422, "invalid_value")

    assert problem["errors"] == [{"field": field, "message": "Required."}]


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("value", [True, 1, 0.5, [], ["x"], {}], ids=json.dumps)
async def test_a_field_of_the_wrong_type_is_named(
    http: httpx.AsyncClient, ada: Person, name: str, field: str, value: object
) -> None:
    problem = refused(await send_json(http, ada, name, {**ROUTES[name].body, field: value}), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("subscription", "plan", "free"),
        ("subscription", "plan", "GOLD"),
        ("subscription", "plan", None),
        ("invite", "role", "OWNER"),
        ("invite", "role", "admin"),
        ("invite", "role", None),
        ("role", "role", "OWNER"),
        ("role", "role", "member"),
        ("role", "role", None),
        ("login", "organisationId", "nobody"),
        ("login", "organisationId", ""),
        ("refresh", "organisationId", "nobody"),
    ],
)
async def test_a_value_that_is_no_choice_is_refused_by_the_name_of_its_field(
    http: httpx.AsyncClient, ada: Person, name: str, field: str, value: object
) -> None:
    problem = refused(await send_json(http, ada, name, {**ROUTES[name].body, field: value}), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("subscription", {"plan": "pro"}, "plan: Must be one of FREE, PRO, ENTERPRISE, in capital letters."),
        ("invite", {"role": "OWNER"}, "role: Must be one of ADMIN, MEMBER, in capital letters."),
        ("invite", {"email": "nobody"}, "email: Must be an e-mail address such as ada@example.com."),
    ],
)
async def test_the_detail_names_the_field_and_what_it_may_be(
    http: httpx.AsyncClient, ada: Person, name: str, value: dict[str, str], detail: str
) -> None:
    problem = refused(await send_json(http, ada, name, {**ROUTES[name].body, **value}), 422, "invalid_value")

    field, _, advice = detail.partition(": ")
    assert problem["errors"] == [{"field": field, "message": advice}]
    assert problem["detail"] == detail


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/x-msgpack",
        "application/jsonp",
        "x",
    ],
)
async def test_another_content_type_than_json_is_refused(
    http: httpx.AsyncClient, ada: Person, name: str, content_type: str
) -> None:
    content = json.dumps(ROUTES[name].body).encode()

    refused(await send(http, ada, name, content, content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/problem+json", None],
)
async def test_every_spelling_of_json_is_read_and_so_is_a_body_that_does_not_say(
    http: httpx.AsyncClient, ada: Person, content_type: str | None
) -> None:
    reply = await send(http, ada, "broadcast", b'{"message": "Lunch!"}', content_type)

    assert granted(reply, 201)["message"] == "Lunch!"


async def test_a_backslash_before_u0000_is_no_nul(http: httpx.AsyncClient, ada: Person) -> None:
    said = granted(await send(http, ada, "broadcast", rb'{"message": "\\u0000"}'), 201)

    assert said["message"] == r"\u0000"


def padded(size: int) -> bytes:
    """A broadcast of nothing in `size` bytes of JSON."""
    body = b'{"message": ""}'
    return body + b" " * (size - len(body))


async def in_chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 8 * KIB):
        yield content[start : start + 8 * KIB]


@pytest.mark.parametrize("name", ROUTES)
async def test_a_body_over_256_kib_is_too_large_whether_it_says_so_or_not(
    http: httpx.AsyncClient, ada: Person, name: str
) -> None:
    content = padded(256 * KIB + 1)

    refused(await send(http, ada, name, content), 413, "body_too_large")
    refused(await send(http, ada, name, in_chunks(content)), 413, "body_too_large")


async def test_a_body_of_256_kib_is_read(http: httpx.AsyncClient, ada: Person) -> None:
    content = padded(256 * KIB)

    refused(await send(http, ada, "broadcast", content), 422, "invalid_value")
    refused(await send(http, ada, "broadcast", in_chunks(content)), 422, "invalid_value")


async def test_a_body_that_only_says_it_is_too_large_is_not_waited_for(server: ServerProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")

    async with asyncio.timeout(5):
        status = await reader.readline()

    writer.close()
    assert status.split()[1] == b"413"


@pytest.mark.parametrize(("name", "field"), FIELDS)
async def test_no_value_of_any_field_is_answered_with_a_500_or_with_anything_undescribed(
    http: httpx.AsyncClient, ada: Person, description: Mapping[str, Any], name: str, field: str
) -> None:
    fresh = {"email": fresh_email()} if name in {"register", "invite"} else {}

    for kind, value in HOSTILE.items():
        who = await log_in(http, ada.email) if name == "logout" else ada
        reply = await send_json(http, who, name, {**ROUTES[name].body, **fresh, field: value})

        assert reply.status_code < 500, kind
        if not reply.is_success:
            well_refused(reply)
        assert_described(description, ROUTES[name].path, reply)


# Names and addresses


@pytest.mark.parametrize(
    "name",
    [
        "Zoë 🎉",
        "Zoe\u0308",
        "O'Brien; drop table users; --",
        "محمد",
        "李小龍",
        "𐌰𐌳𐌰",
        '<b>Ada</b> & "Co" \\ %s {0}',
        "👩‍👩‍👧‍👦",
        "x" * 100,
        "🎉" * 100,
        "null",
        "  Ada  ",
    ],
)
async def test_a_name_in_any_script_comes_back_as_it_was(http: httpx.AsyncClient, name: str) -> None:
    body = {"name": name, "email": fresh_email(), "password": PASSWORD, "organisationName": name}

    data = granted(await http.post("/api/auth/register", json=body), 201)

    expected = unicodedata.normalize("NFC", name.strip())
    assert (data["user"]["name"], data["organisation"]["name"]) == (expected, expected)
    somebody = person(http, data)
    assert [member["name"] for member in await somebody.data("GET", "/api/users")] == [expected]
    assert (await somebody.feed())[0]["metadata"]["name"] == expected


@pytest.mark.parametrize(
    "name", ["", " ", "\t", "\u2003", "x" * 101, "🎉" * 101, "a\nb", "a\tb", "\x1b[31mred", "a\x7f"]
)
@pytest.mark.parametrize("field", ["name", "organisationName"])
async def test_a_name_of_nothing_of_too_much_or_with_control_characters_is_refused(
    http: httpx.AsyncClient, field: str, name: str
) -> None:
    body = {**ROUTES["register"].body, "email": fresh_email(), field: name}

    problem = refused(await http.post("/api/auth/register", json=body), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    "email", ["{}@example.test", "a+{}@x.co", "A.{}@Example.TEST", "ü{}@exämple.de", "{}@例え.jp", "_{}-@a-b.museum"]
)
async def test_an_address_mail_is_delivered_to_is_accepted_and_kept_in_lower_case(
    http: httpx.AsyncClient, email: str
) -> None:
    unique = email.format(new_id().hex)
    body = {**ROUTES["register"].body, "email": unique}

    data = granted(await http.post("/api/auth/register", json=body), 201)

    assert data["user"]["email"] == unique.lower()
    granted(await http.post("/api/auth/login", json={"email": unique.upper(), "password": PASSWORD}))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.test",
        "ada@example",
        "ada@example..test",
        "ada@.example.test",
        "ada@-example.test",
        "ada lovelace@example.test",
        "ada@exam ple.test",
        "ada@@example.test",
        "ada@example.test,bo@example.test",
        "Ada <ada@example.test>",
        "ada@example.test\nbcc: bo@example.test",
        "ada@[127.0.0.1]",
        '"ada"@example.test',
        "a" * 65 + "@example.test",
        "ada@" + "a" * 64 + ".test",
        "ada@" + "a.example." * 30 + "test",
    ],
)
async def test_what_is_no_address_is_refused(http: httpx.AsyncClient, ada: Person, email: str) -> None:
    for name in ("register", "invite"):
        problem = refused(await send_json(http, ada, name, {**ROUTES[name].body, "email": email}), 422, "invalid_value")
        assert [error["field"] for error in problem["errors"]] == ["email"]


# Lists


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "-1",
        "201",
        "9" * 30,
        "-" + "9" * 30,
        "abc",
        "1.5",
        "",
        "%20",
        "%00",
        "%FF",
        "%D9%A3",
        "0x10",
        "1_0",
        "null",
    ],
)
async def test_a_limit_that_is_no_number_from_1_to_200_is_refused(
    http: httpx.AsyncClient, ada: Person, path: str, limit: str
) -> None:
    reply = await http.get(f"{path}?limit={limit}", headers=bearer(ada))

    problem = refused(reply, 422, "invalid_value")
    assert [error["field"] for error in problem["errors"]] == ["limit"]


def cursor(content: str | bytes) -> str:
    """Spelled as ours are, whatever it says."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


NO_CURSORS = {
    "empty": "",
    "no base64": "!!!",
    "half of base64": "A",
    "standard base64": "+/+/",
    "not ASCII": "é",
    "a full stop": "MQ.",
    "a NUL": "%00",
    "no UTF-8": "%FF",
    "too long": "A" * 201,
    "nothing": cursor("="),
    "a word": cursor("nobody"),
    "bytes": cursor(b"\xff\xfe"),
    "a NUL inside": cursor("1\0"),
    "a negative number": cursor("-1"),
    "a sign": cursor("+1"),
    "a number beyond bigint": cursor(str(2**63)),
    "a number below bigint": cursor(str(-(2**63) - 1)),
    "100 digits": cursor("9" * 100),
    "a fraction": cursor("1.5"),
    "an exponent": cursor("1e3"),
    "an underscore": cursor("1_0"),
    "blanks": cursor(" 1 "),
    "another script's digit": cursor("٣"),
    "JSON": cursor('{"seq": 1}'),
    "not a number": cursor("nan"),
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("kind", NO_CURSORS)
async def test_a_cursor_that_was_never_given_out_is_refused(
    http: httpx.AsyncClient, ada: Person, path: str, kind: str
) -> None:
    reply = await http.get(f"{path}?cursor={NO_CURSORS[kind]}", headers=bearer(ada))

    problem = refused(reply, 422, "invalid_value")
    assert [error["field"] for error in problem["errors"]] == ["cursor"]


async def test_the_cursor_of_one_list_is_none_of_another(http: httpx.AsyncClient, ada: Person) -> None:
    refused(await http.get(f"/api/users?cursor={cursor('1')}", headers=bearer(ada)), 422, "invalid_value")
    refused(await http.get(f"/api/activities?cursor={cursor(NOBODY)}", headers=bearer(ada)), 422, "invalid_value")


async def test_a_cursor_beyond_both_ends_shows_everything_or_nothing(http: httpx.AsyncClient, ada: Person) -> None:
    everything, _ = listed(await http.get("/api/activities?limit=200", headers=bearer(ada)))

    for key, expected in (("9" * 18, everything), ("1", []), ("0", [])):
        page = await http.get(f"/api/activities?limit=200&cursor={cursor(key)}", headers=bearer(ada))
        entries, following = listed(page)
        assert (entries, following) == (expected, None)


async def test_query_parameters_that_nobody_knows_are_ignored(http: httpx.AsyncClient, ada: Person) -> None:
    for path in LISTS:
        reply = await http.get(f"{path}?organisationId={NOBODY}&role=ADMIN&%00=%FF&x[]=1&limit=1", headers=bearer(ada))
        assert len(listed(reply)[0]) == 1


# Tokens


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def signed(claims: object, *, key: str = SECRETS["JWT_ACCESS_SECRET"], **header: object) -> str:
    """A JWT made by hand, as no library would agree to make it."""
    described = {"alg": "HS256", "typ": "at+jwt", **header}
    content = ".".join(segment(json.dumps(part).encode()) for part in (described, claims))
    digest = hashlib.sha512 if described["alg"] == "HS512" else hashlib.sha256
    return f"{content}.{segment(hmac.digest(key.encode(), content.encode(), digest))}"


def bad_tokens(good: str) -> Iterator[tuple[str, str]]:
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    header, content, signature = good.split(".")
    yield "a word", "nonsense"
    yield "three words", "a.b.c"
    yield "only dots", "....."
    yield "two parts", f"{header}.{content}"
    yield "no signature", f"{header}.{content}."
    yield "half a signature", good[:-10]
    yield "another's signature", f"{header}.{content}.{signature[::-1]}"
    yield "another content", f"{header}.{segment(json.dumps(claims | {'role': 'OWNER'}).encode())}.{signature}"
    yield "10,000 characters", "a" * 10_000
    yield "not ASCII", "é.é.é"
    for none in ("none", "None", "NONE", ""):
        yield f"alg {none!r}", signed(claims, alg=none).rpartition(".")[0] + "."
        yield f"alg {none!r} with a signature", signed(claims, alg=none)
    yield "alg HS512", signed(claims, alg="HS512")
    yield "alg RS256", signed(claims, alg="RS256")
    yield "alg of a wrong type", signed(claims, alg=["HS256"])
    yield "no alg", signed(claims, alg=None)
    yield "another secret", signed(claims, key="another secret that only this test knows of")
    yield "the refresh secret", signed(claims, key=SECRETS["JWT_REFRESH_SECRET"])
    yield "no secret", signed(claims, key="")
    yield "another typ", signed(claims, typ="JWT")
    yield "a refresh token's typ", signed(claims, typ="rt+jwt")
    yield "no typ", signed(claims, typ=None)
    yield "expired a second ago", signed(claims | {"exp": claims["iat"] - 1})
    yield "expired at the epoch", signed(claims | {"exp": 0})
    yield "expired before the epoch", signed(claims | {"exp": -1})
    yield "expires after all time", signed(claims | {"exp": 10**20})
    yield "expires in words", signed(claims | {"exp": "tomorrow"})
    yield "another issuer", signed(claims | {"iss": "evil"})
    yield "another audience", signed(claims | {"aud": "evil"})
    yield "several audiences", signed(claims | {"aud": ["evil", "saas"]})
    yield "another person", signed(claims | {"sub": str(new_id())})
    yield "another organisation", signed(claims | {"org": str(new_id())})
    yield "another session", signed(claims | {"sid": str(new_id())})
    yield "a person that is none", signed(claims | {"sub": "1 or 1=1"})
    yield "a role that is none", signed(claims | {"role": "OWNER"})
    yield "no claims", signed({})
    yield "a list for claims", signed([claims])
    yield "null for claims", signed(None)
    yield "claims that are no JSON", f"{header}.{segment(b'{')}.{signature}"
    for claim in claims:
        yield f"without {claim}", signed({key: value for key, value in claims.items() if key != claim})


async def test_a_token_made_by_hand_with_the_right_secret_and_claims_would_pass(
    http: httpx.AsyncClient, ada: Person
) -> None:
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})

    granted(await http.get("/api/organisations", headers={"Authorization": f"Bearer {signed(claims)}"}))


async def test_no_bad_token_gets_in(http: httpx.AsyncClient, ada: Person) -> None:
    tried = 0
    for kind, token in bad_tokens(ada.access_token):
        reply = await http.get("/api/organisations", headers=[(b"Authorization", f"Bearer {token}".encode())])
        assert reply.status_code == 401, kind
        assert well_refused(reply)["code"] in {"not_authenticated", "session_ended"}, kind
        tried += 1
    assert tried > 40


async def test_an_expired_token_says_so(http: httpx.AsyncClient, ada: Person) -> None:
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})
    token = signed(claims | {"exp": claims["iat"] - 1})

    reply = await http.get("/api/organisations", headers={"Authorization": f"Bearer {token}"})

    assert "expired" in refused(reply, 401, "not_authenticated")["detail"]


async def test_no_bad_refresh_token_gets_a_new_pair(http: httpx.AsyncClient, ada: Person) -> None:
    claims = jwt.decode(ada.refresh_token, options={"verify_signature": False})
    key = SECRETS["JWT_REFRESH_SECRET"]
    good = signed(claims, key=key, typ="rt+jwt")

    for kind, token in {
        **dict(bad_tokens(ada.access_token)),
        "an access token": ada.access_token,
        "the access secret": signed(claims, typ="rt+jwt"),
        "another typ": signed(claims, key=key),
        "another session": signed({**claims, "sid": str(new_id())}, key=key, typ="rt+jwt"),
        "a negative generation": signed({**claims, "gen": -1}, key=key, typ="rt+jwt"),
        "a generation in words": signed({**claims, "gen": "0"}, key=key, typ="rt+jwt"),
        "alg none": signed(claims, key=key, alg="none", typ="rt+jwt").rpartition(".")[0] + ".",
    }.items():
        reply = await http.post("/api/auth/refresh", json={"refreshToken": token})
        assert reply.status_code == 401, kind
        well_refused(reply)
    granted(await http.post("/api/auth/refresh", json={"refreshToken": good}))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "{}",
        "Bearer",
        "Basic {}",
        "Token {}",
        "Bearer{}",
        "Bearer: {}",
        "Bearer {} {}",
        "Bearer, {}",
        "{} Bearer",
    ],
)
async def test_a_good_token_counts_only_as_a_bearers(http: httpx.AsyncClient, ada: Person, authorization: str) -> None:
    header = authorization.replace("{}", ada.access_token)

    reply = await http.get("/api/organisations", headers={"Authorization": header})

    problem = refused(reply, 401, "not_authenticated")
    if header == ada.access_token:
        assert "must start with Bearer" in problem["detail"]


async def test_the_name_of_the_scheme_may_be_spelled_in_any_case(http: httpx.AsyncClient, ada: Person) -> None:
    for scheme in ("bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {ada.access_token}"}
        granted(await http.get("/api/organisations", headers=headers))


async def test_a_token_in_the_address_does_not_count_but_on_the_live_channel(
    http: httpx.AsyncClient, ada: Person
) -> None:
    refused(await http.get(f"/api/organisations?token={ada.access_token}"), 401, "not_authenticated")


# Addresses and methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *((route.path, {route.method}) for route in ROUTES.values() if "{id}" not in route.path),
        ("/api/organisations", {"GET", "HEAD"}),
        ("/api/users", {"GET", "HEAD"}),
        (f"/api/users/{NOBODY}", {"DELETE", "PATCH"}),
        ("/api/activities", {"GET", "HEAD"}),
        ("/health", {"GET", "HEAD"}),
        ("/health/ready", {"GET", "HEAD"}),
        ("/docs", {"GET", "HEAD"}),
        ("/docs/openapi.json", {"GET", "HEAD"}),
        ("/ws", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_which_are_right(
    http: httpx.AsyncClient, ada: Person, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
        reply = await http.request(method, path, headers=bearer(ada))
        refused(reply, 405, "method_not_allowed")
        assert reply.headers["allow"] == ", ".join(sorted(allowed | {"OPTIONS"}))
    assert (await http.options(path, headers=bearer(ada))).headers["allow"] == ", ".join(sorted(allowed | {"OPTIONS"}))


async def test_head_is_answered_like_get_without_a_body(http: httpx.AsyncClient, server: ServerProcess) -> None:
    for path in ("/health", "/health/ready", "/docs"):
        reply = await http.head(path)
        assert (reply.status_code, reply.content) == (200, b"")
        assert reply.headers["content-length"] == str(len((await http.get(path)).content))
    assert "HEAD /docs 200 " in server.output()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/nowhere",
        "/api/auth",
        "/api/auth/login/again",
        "/API/users",
        "/api/users/a/b",
        "/api/organisations/1",
        "/api/%00",
        "/api/%FF",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/users/%2e%2e/%2fx",
        "/docs/nowhere",
        "/docs/nowhere.json",
        "/docs-assets/",
        "/docs-assets/nowhere.js",
        "/docs-assets/../app.py",
        "/docs-assets/%2e%2e/core.py",
        "/docs-assets/%00",
        "/docs-assets/" + "x" * 300,
        "/docs-assets/swagger-ui.css/x",
        "/docs-assets/..%2f__init__.py",
        "/health/nowhere",
        "/ws/nowhere",
        "/favicon.ico",
        "/.env",
        "/" + "x" * 5_000,
    ],
)
async def test_an_address_with_nothing_at_it_says_so_in_json(http: httpx.AsyncClient, method: str, path: str) -> None:
    reply = await http.request(method, path)

    if reply.status_code == 405:  # the folders of documents know what they have only when asked to GET
        assert path.startswith("/docs")
        refused(reply, 405, "method_not_allowed")
    else:
        refused(reply, 404, "no_such_route")


@pytest.mark.parametrize(
    "user_id", ["nobody", "%00", "%FF", "%C3%A9", "1%20or%201=1", "x" * 5_000, "%2e%2e", NOBODY * 2]
)
async def test_an_id_that_is_none_is_not_found(http: httpx.AsyncClient, ada: Person, user_id: str) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"role": "ADMIN"})):
        reply = await http.request(method, f"/api/users/{user_id}", json=body, headers=bearer(ada))
        refused(reply, 404, "not_found")


async def test_a_body_where_none_is_read_does_no_harm(http: httpx.AsyncClient, ada: Person) -> None:
    for content in (b"{", b"\0" * 300 * KIB):
        granted(await http.request("GET", "/api/organisations", content=content, headers=bearer(ada)))
        reply = await http.request("DELETE", f"/api/users/{NOBODY}", content=content, headers=bearer(ada))
        refused(reply, 404, "not_found")


@pytest.mark.parametrize("name", ["Accept", "Cookie", "Range", "If-None-Match", "Forwarded", "Host"])
async def test_no_header_is_answered_with_a_500(http: httpx.AsyncClient, ada: Person, name: str) -> None:
    for value in (b"", b"\xff\xfe", b"a" * 10_000, b';=,;=\\"', b"-1"):
        headers = [*((key.encode(), text.encode()) for key, text in bearer(ada).items()), (name.encode(), value)]
        assert (await http.get("/api/organisations", headers=headers)).status_code in {200, 400}


# The live channel


@pytest.mark.parametrize("after", ["-1", "-" + "9" * 30, "x", "1.5", "1_0", "%D9%A3", "9" * 5_000])
async def test_a_position_that_is_no_number_is_refused_in_the_handshake(
    server: ServerProcess, ada: Person, after: str
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(f"{server.live_url}?token={ada.access_token}&after={after}")

    assert refusal.value.response.status_code == 400
    assert json.loads(refusal.value.response.body)["code"] == "malformed_request"


@pytest.mark.parametrize("after", [-1, -(10**30), 1.5, "1", True])
async def test_a_position_that_is_no_number_is_refused_in_the_first_message_too(
    server: ServerProcess, ada: Person, after: object
) -> None:
    message = {"type": "AUTH", "payload": {"token": ada.access_token, "after": after}}
    async with connect(server.live_url) as socket, asyncio.timeout(5):
        await socket.send(json.dumps(message))
        await socket.wait_closed()

    assert socket.close_code == 4401


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/users", "/ws/nowhere", "/docs", "/health"])
async def test_a_websocket_where_none_is_served_is_told_as_any_other_request(server: ServerProcess, path: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(f"ws://127.0.0.1:{server.port}{path}", additional_headers={"X-Request-ID": "mine"})

    response = refusal.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == json.loads(response.body)["requestId"] == "mine"


async def test_a_plain_request_to_the_live_channel_is_told_to_upgrade(http: httpx.AsyncClient) -> None:
    reply = await http.get("/ws")

    refused(reply, 426, "upgrade_required")
    assert reply.headers["upgrade"] == "websocket"
