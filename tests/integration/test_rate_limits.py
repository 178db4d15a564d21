"""Rate limits as a client meets them: counted for each address, announced, and not to be got around."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.replies import refused, well_refused
from tests.integration.servers import ServerProcess, serving

GLOBAL, AUTH = 8, 2
LIMITS = {"RATE_LIMIT_GLOBAL": f"{GLOBAL}/minute", "RATE_LIMIT_AUTH": f"{AUTH}/minute"}
NOWHERE = "/api/nowhere"
LOGIN = "/api/auth/login"
ACCEPT = "/api/users/accept-invite"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def behind_proxy(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with small limits that believes its neighbours, so that each test can come from a new address."""
    settings = {**environ, **LIMITS, "TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"}
    with serving(tmp_path_factory.mktemp("behind-proxy"), settings) as process:
        yield process


@pytest.fixture(scope="module")
def exposed(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with small limits that believes nobody."""
    with serving(tmp_path_factory.mktemp("exposed"), {**environ, **LIMITS}) as process:
        yield process


@pytest.fixture(scope="module")
def plain(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits nobody has set."""
    settings = {name: value for name, value in environ.items() if not name.startswith("RATE_LIMIT")}
    with serving(tmp_path_factory.mktemp("plain"), settings | {"TRUSTED_PROXIES": "127.0.0.1"}) as process:
        yield process


def address() -> str:
    """One that no other test has come from (RFC 5737 would give too few)."""
    number = next(_numbers)
    return f"198.18.{number // 256}.{number % 256}"


@pytest.fixture
async def http(behind_proxy: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a new address, as the proxy tells it."""
    headers = {"X-Forwarded-For": address()}
    async with httpx.AsyncClient(base_url=behind_proxy.url, headers=headers, timeout=30) as client:
        yield client


async def until_refused(http: httpx.AsyncClient, path: str, *forwarded: str, most: int = 20) -> int:
    """How many requests pass before the first 429."""
    headers = [("X-Forwarded-For", each) for each in forwarded]
    for passed in range(most):
        if (await http.get(path, headers=headers)).status_code == 429:
            return passed
    return most


# What a client is told


async def test_over_the_limit_a_request_is_refused_with_the_time_to_wait(http: httpx.AsyncClient) -> None:
    for _ in range(GLOBAL):
        refused(await http.get(NOWHERE), 404, "no_such_route")

    reply = await http.get(NOWHERE)

    problem = refused(reply, 429, "too_many_requests")
    wait = int(reply.headers["retry-after"])
    assert 30 <= wait <= 60
    assert f"{wait} s" in problem["detail"]


async def test_refused_requests_count_too(http: httpx.AsyncClient) -> None:
    """Failed logins use up what other routes are allowed."""
    for _ in range(GLOBAL):
        well_refused(await http.post(LOGIN))

    refused(await http.get(NOWHERE), 429, "too_many_requests")


async def test_a_refused_request_keeps_its_id_and_the_health_checks_go_on(http: httpx.AsyncClient) -> None:
    assert await until_refused(http, NOWHERE) == GLOBAL

    reply = await http.get("/api/users", headers={"X-Request-ID": "mine"})

    assert refused(reply, 429, "too_many_requests")["requestId"] == "mine"
    for path in ["/health", "/health/ready"] * GLOBAL:
        reply = await http.get(path)
        assert reply.status_code == 200
        assert "ratelimit" not in reply.headers


async def test_only_the_health_checks_are_exempt(http: httpx.AsyncClient) -> None:
    paths = ["/healthy", "/health/x", "/health-check", "/docs", "/docs-assets/swagger-ui.css", "/", "/ws", "/api/users"]
    for path in paths:
        assert "ratelimit" in (await http.get(path)).headers, path

    assert len(paths) == GLOBAL
    refused(await http.get("/health/readily"), 429, "too_many_requests")


async def test_every_reply_says_what_the_limit_is_and_what_is_left_of_it(http: httpx.AsyncClient) -> None:
    replies = [await http.get(NOWHERE) for _ in range(GLOBAL + 1)]

    assert {reply.headers["ratelimit-policy"] for reply in replies} == {f'"default";q={GLOBAL};w=60'}
    left = [re.fullmatch(r'"default";r=(\d+);t=(\d+)', reply.headers["ratelimit"]) for reply in replies]
    assert [match and int(match[1]) for match in left] == [7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert all(match and 0 < int(match[2]) <= 60 for match in left)


async def test_a_limited_client_passes_again_after_the_time_it_was_told(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**environ, "RATE_LIMIT_GLOBAL": "2/second"}
    with serving(tmp_path_factory.mktemp("short"), settings) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            while (reply := await http.get(NOWHERE)).status_code != 429:
                assert reply.headers["ratelimit-policy"] == '"default";q=2;w=1'

            await asyncio.sleep(int(reply.headers["retry-after"]))

            refused(await http.get(NOWHERE), 404, "no_such_route")


# Signing in has a limit of its own


async def test_signing_in_has_a_smaller_limit_of_its_own(http: httpx.AsyncClient) -> None:
    for _ in range(AUTH):
        reply = await http.post(LOGIN)
        refused(reply, 400, "malformed_request")
        assert reply.headers["ratelimit-policy"] == f'"default";q={GLOBAL};w=60, "auth";q={AUTH};w=60'
        assert reply.headers["ratelimit"].count(";r=") == 2

    reply = await http.post(LOGIN)

    refused(reply, 429, "too_many_requests")
    assert int(reply.headers["retry-after"]) <= 60
    refused(await http.get(NOWHERE), 404, "no_such_route")


async def test_all_routes_of_signing_in_share_it(http: httpx.AsyncClient) -> None:
    well_refused(await http.post("/api/auth/register"))
    well_refused(await http.post("/api/auth/refresh"))

    for path in (LOGIN, "/api/auth/register", "/api/auth/refresh", "/api/auth/logout", ACCEPT):
        refused(await http.post(path), 429, "too_many_requests")


async def test_accepting_an_invite_takes_a_password_and_so_shares_it_too(http: httpx.AsyncClient) -> None:
    for _ in range(AUTH):
        well_refused(await http.post(ACCEPT))

    for path in (ACCEPT, "/api/users/accept-invite/", LOGIN):
        refused(await http.post(path), 429, "too_many_requests")
    refused(await http.post("/api/users/invite"), 401, "not_authenticated")


@pytest.mark.parametrize(
    "path",
    [
        "//api/auth/login",
        "/api//auth/login",
        "/api/auth//login//",
        "/api/auth/login/",
        "/api/%61uth/login",
        "/api%2Fauth/login",
    ],
)
async def test_another_spelling_of_the_address_is_no_way_around(http: httpx.AsyncClient, path: str) -> None:
    for _ in range(AUTH):
        well_refused(await http.post(LOGIN))

    reply = await http.post(http.base_url.copy_with(raw_path=path.encode()))

    refused(reply, 429, "too_many_requests")


# Who is counted


async def test_what_a_client_says_of_its_address_is_not_believed(exposed: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=exposed.url) as http:
        for _ in range(GLOBAL):
            assert (await http.get(NOWHERE, headers={"X-Forwarded-For": address()})).status_code == 404

        for headers in (
            {"X-Forwarded-For": address()},
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": f"for={address()}"},
            {"X-Real-IP": address()},
            {},
        ):
            refused(await http.get(NOWHERE, headers=headers), 429, "too_many_requests")


async def test_behind_a_trusted_proxy_each_client_is_counted_for_itself(http: httpx.AsyncClient) -> None:
    first = address()
    assert await until_refused(http, NOWHERE, first) == GLOBAL

    assert await until_refused(http, NOWHERE, address()) == GLOBAL
    assert await until_refused(http, NOWHERE, first) == 0


async def test_the_rightmost_address_that_is_not_trusted_counts(http: httpx.AsyncClient) -> None:
    client = address()
    assert await until_refused(http, NOWHERE, client) == GLOBAL

    for spoofed in (
        [f"{address()}, {client}"],
        [f"{address()}, {client}, 10.1.2.3"],
        [address(), client, "10.1.2.3, 127.0.0.1"],
        [f"10.1.2.3, {client}"],
        [f"nonsense, {client}"],
        [f"{client}:4711"],
        [f"{client}:4711, 10.1.2.3:80"],
    ):
        assert await until_refused(http, NOWHERE, *spoofed) == 0, spoofed
    assert await until_refused(http, NOWHERE, f"{client}, {address()}") == GLOBAL


# Everything is counted, and limits may be off


async def test_opening_a_websocket_is_counted_as_a_request_is(behind_proxy: ServerProcess) -> None:
    headers = {"X-Forwarded-For": address(), "X-Request-ID": "mine"}
    statuses = []
    for _ in range(GLOBAL + 1):
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"{behind_proxy.live_url}?token=nonsense", additional_headers=headers)
        statuses.append(refusal.value.response.status_code)

    assert statuses == [401] * GLOBAL + [429]
    response = refusal.value.response
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert response.headers["RateLimit"].startswith('"default";r=0;')
    reply = httpx.Response(429, headers=list(response.headers.raw_items()), content=bytes(response.body))
    assert refused(reply, 429, "too_many_requests")["requestId"] == "mine"


async def test_an_accepted_websocket_says_what_is_left(behind_proxy: ServerProcess) -> None:
    async with connect(behind_proxy.live_url, additional_headers={"X-Forwarded-For": address()}) as socket:
        assert socket.response is not None
        assert socket.response.headers["RateLimit"].startswith(f'"default";r={GLOBAL - 1};')


async def test_unless_set_the_limits_are_100_and_10_a_minute(plain: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=plain.url, headers={"X-Forwarded-For": address()}) as http:
        policy = (await http.post(LOGIN)).headers["ratelimit-policy"]
        assert policy == '"default";q=100;w=60, "auth";q=10;w=60'
        statuses = [(await http.post(LOGIN)).status_code for _ in range(10)]
        assert statuses == [400] * 9 + [429]

        assert await until_refused(http, NOWHERE, address(), most=200) == 100


async def test_each_limit_may_be_off(
    server: ServerProcess, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert (environ["RATE_LIMIT_GLOBAL"], environ["RATE_LIMIT_AUTH"]) == ("off", "off")
    async with httpx.AsyncClient(base_url=server.url) as http:
        replies = [await http.post(path) for path in [LOGIN, NOWHERE] * 101]
    assert {reply.status_code for reply in replies} == {400, 404}
    assert not any("ratelimit" in reply.headers or "ratelimit-policy" in reply.headers for reply in replies)

    with serving(tmp_path_factory.mktemp("half"), {**environ, "RATE_LIMIT_AUTH": "1/hour"}) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            statuses = [(await http.post(path)).status_code for path in (LOGIN, LOGIN, NOWHERE, NOWHERE)]
            assert statuses == [400, 429, 404, 404]
