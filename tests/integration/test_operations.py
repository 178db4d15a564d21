"""Bad days: the database goes away, hangs, is locked or refuses; the server is told to stop, or is killed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from tests.integration.clients import PASSWORD, Person, fresh_email, join, listening, log_in, register
from tests.integration.proxy import Proxy
from tests.integration.servers import ServerProcess, serving

PATIENCE = 5.0
"""Seconds in which every answer is there."""


@asynccontextmanager
async def started(folder: Path, environ: dict[str, str]) -> AsyncIterator[tuple[ServerProcess, httpx.AsyncClient]]:
    """A server of our own, and a client of it."""
    with ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, serving(folder, environ))
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
            yield server, client
        await asyncio.to_thread(stack.close)


@pytest.fixture(scope="module")
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(database_url)
    await proxy.mend()
    yield proxy
    await proxy.cut()


@pytest.fixture(scope="module")
async def behind_proxy(
    proxy: Proxy, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Person]:
    """An admin whose server reaches its database through the proxy."""
    folder = tmp_path_factory.mktemp("proxied")
    async with started(folder, {**environ, "DATABASE_URL": proxy.url}) as (_, http):
        yield await register(http)


async def in_time(request: Awaitable[httpx.Response]) -> httpx.Response:
    async with asyncio.timeout(PATIENCE):
        return await request


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - in other processes nobody sets an Event for us
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mishap", ["cut", "clog"])
async def test_without_a_database_every_route_says_so_in_time_and_all_is_well_once_it_is_back(
    behind_proxy: Person, proxy: Proxy, mishap: str
) -> None:
    ada, http = behind_proxy, behind_proxy.http
    account = {"email": ada.email, "password": PASSWORD}
    bodies = {
        "POST /api/auth/register": {**account, "name": "Ada", "organisationName": "Acme"},
        "POST /api/auth/login": account,
        "POST /api/auth/refresh": {"refreshToken": ada.refresh_token},
        "PATCH /api/organisations/subscription": {"plan": "PRO"},
        "POST /api/organisations/broadcast": {"message": "Anybody there?"},
        "POST /api/users/invite": {"email": fresh_email()},
        "PATCH /api/users/{id}": {"role": "MEMBER"},
        "POST /api/users/accept-invite": {**account, "name": "Bo", "token": (await ada.invite())["token"]},
    }
    described = (await http.get("/docs/openapi.json")).json()["paths"]
    routes = [(method.upper(), path) for path, methods in described.items() for method in methods]
    assert {" ".join(route) for route in routes} > bodies.keys()
    before = await ada.feed()

    await getattr(proxy, mishap)()
    for _ in range(2):
        requests = [ada.ask(method, path.format(id=ada.id), bodies.get(f"{method} {path}")) for method, path in routes]
        for route, reply in zip(routes, await asyncio.gather(*map(in_time, requests)), strict=True):
            if route == ("GET", "/health"):
                assert reply.status_code == 200
            else:
                assert (reply.status_code, reply.json()["code"]) == (503, "unavailable"), route
                assert reply.headers["content-type"] == "application/problem+json"
                assert int(reply.headers["retry-after"]) > 0
    await proxy.mend()

    async def is_ready() -> bool:
        return (await http.get("/health/ready")).status_code == 200

    await until(is_ready)
    assert await ada.feed() == before
    await ada.broadcast("Here we are again")


async def test_connections_that_were_cut_while_nobody_used_them_cost_no_request(
    behind_proxy: Person, proxy: Proxy
) -> None:
    ada = behind_proxy
    await asyncio.gather(*(ada.broadcast("To have many connections") for _ in range(8)))

    await proxy.cut()
    await proxy.mend()

    for _ in range(8):
        await ada.broadcast("To use every one of them")
        await ada.data("GET", "/api/organisations")


@asynccontextmanager
async def locked(superuser: asyncpg.Connection, person: Person) -> AsyncIterator[None]:
    """Nobody else can do anything in the person's organisation meanwhile."""
    async with superuser.transaction():
        await superuser.execute("select from organisations where id = $1 for update", UUID(person.organisation["id"]))
        yield


async def are_waiting(database_url: str, how_many: int) -> None:
    """Return once so many requests wait for a lock."""
    observer = await asyncpg.connect(database_url)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'saas'"

    async def enough() -> bool:
        return bool(await observer.fetchval(waiting) >= how_many)

    await until(enough)
    await observer.close()


async def test_requests_that_wait_for_one_organisation_are_refused_in_time_and_keep_no_reader_waiting(
    http: httpx.AsyncClient, superuser: asyncpg.Connection, database_url: str
) -> None:
    ada, stranger = await register(http), await register(http)
    async with locked(superuser, ada):
        blocked = [
            asyncio.create_task(in_time(ada.ask("POST", "/api/organisations/broadcast", {"message": "Late"})))
            for _ in range(12)
        ]
        await are_waiting(database_url, 8)

        for reader in (ada, stranger):
            for path in ("/api/organisations", "/api/users", "/api/activities"):
                await reader.data("GET", path)
        assert not any(each.done() for each in blocked)

        for reply in await asyncio.gather(*blocked):
            assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
            assert "retry-after" in reply.headers

    assert (await ada.broadcast("In time"))["seq"] == 2


async def test_signing_in_does_not_wait_for_a_command_under_way_in_the_organisation(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    async with superuser.transaction():
        await superuser.execute("select enter_organisation($1, now())", UUID(ada.organisation["id"]))
        again = await log_in(http, ada.email)  # or 503, after 2 s of waiting for the lock
        await again.data("GET", "/api/organisations")


_WHEN = {
    "at once": "create trigger {0} before insert on activities",
    "at commit": "create constraint trigger {0} after insert on activities deferrable initially deferred",
}


@asynccontextmanager
async def refused_log(superuser: asyncpg.Connection, person: Person, when: str) -> AsyncIterator[None]:
    """Nothing can be logged in the person's organisation meanwhile."""
    name, organisation_id = f"refuse_{uuid4().hex}", person.organisation["id"]
    body = "begin raise exception 'The log is refused'; end"
    await superuser.execute(f"create function {name}() returns trigger language plpgsql as $${body}$$")
    rows = f"for each row when (new.organisation_id = '{organisation_id}') execute function {name}()"
    await superuser.execute(f"{_WHEN[when].format(name)} {rows}")
    try:
        yield
    finally:
        await superuser.execute(f"drop function {name} cascade")


@pytest.mark.parametrize("when", _WHEN)
async def test_what_cannot_be_logged_does_not_happen_and_nobody_hears_of_it(
    http: httpx.AsyncClient, server: ServerProcess, superuser: asyncpg.Connection, when: str
) -> None:
    ada = await register(http)
    bo = await join(ada)
    paths = ("/api/organisations", "/api/users", "/api/activities")
    before = [await ada.data("GET", path) for path in paths]
    email = fresh_email()
    async with listening(server.live_url, ada.access_token) as socket:
        async with refused_log(superuser, ada, when):
            for method, path, body in (
                ("PATCH", "/api/organisations/subscription", {"plan": "PRO"}),
                ("POST", "/api/organisations/broadcast", {"message": "Nobody is to hear this"}),
                ("POST", "/api/users/invite", {"email": email}),
                ("DELETE", f"/api/users/{bo.id}", None),
            ):
                assert (await ada.ask(method, path, body)).status_code == 500
        assert [await ada.data("GET", path) for path in paths] == before
        await bo.data("GET", "/api/organisations")

        await ada.invite(email)

        heard = await socket.next()
        assert (heard["type"], heard["seq"]) == ("INVITE_SENT", before[2][0]["seq"] + 1)


LAST_WORDS = b'{"message":"Last words"}'


async def begin_to_broadcast(port: int, person: Person) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request that the server works on already and whose body it waits for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /api/organisations/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer {person.access_token}\r\nContent-Length: {len(LAST_WORDS)}\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"100"
    return reader, writer


async def test_told_to_stop_the_server_finishes_what_it_has_begun_and_takes_nothing_new(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with started(tmp_path, environ) as (server, http):
        ada = await register(http)
        async with listening(server.live_url, ada.access_token) as socket:
            begun = [await begin_to_broadcast(server.port, ada) for _ in range(5)]
            server.terminate()

            async def takes_nothing_new() -> bool:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    writer.transport.abort()
                    return False
                return True

            await until(takes_nothing_new)

            replies = []
            for reader, writer in begun:
                writer.write(LAST_WORDS)
                replies.append((await reader.read()).partition(b"\r\n\r\n"))
                writer.close()
            assert [head.split()[1] for head, _, _ in replies] == [b"201"] * 5
            assert [json.loads(body)["data"]["seq"] for _, _, body in replies] == [2, 3, 4, 5, 6]
            assert (await socket.closed())[0] == 1012
        assert await asyncio.to_thread(server.wait, 30) == 0


async def test_killed_in_a_storm_the_server_has_lost_nothing_that_it_confirmed_or_showed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    confirmed: list[str] = []

    async def storm(person: Person) -> None:
        with suppress(httpx.TransportError):
            while True:
                confirmed.append((await person.broadcast("Still here"))["id"])

    async with started(tmp_path, environ) as (server, http):
        ada = await register(http)
        async with listening(server.live_url, ada.access_token) as socket:
            storms = [asyncio.create_task(storm(ada)) for _ in range(40)]

            async def is_raging() -> bool:
                return len(confirmed) > 200

            await until(is_raging)
            server.kill()
            await asyncio.gather(*storms)
            with suppress(ConnectionClosedError):
                await socket.closed()

    async with started(tmp_path, environ) as (_, http):
        ada.http = http
        feed = await ada.feed()
    assert [entry["seq"] for entry in feed] == list(range(1, len(feed) + 1))
    assert {entry["id"] for entry in feed} >= set(confirmed)
    shown = [(frame["seq"], frame["id"]) for frame in socket.frames if frame["type"] == "BROADCAST_MESSAGE"]
    assert len(shown) > 100
    assert {(entry["seq"], entry["id"]) for entry in feed} >= set(shown)
