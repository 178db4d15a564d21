"""What a request costs: every statement and every transaction that reaches the database, counted."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.follower import PostgresFollower
from saas.adapters.postgres.reads import PostgresReads
from saas.adapters.postgres.unit_of_work import PostgresBegin
from saas.adapters.system import new_id, utc_now
from saas.application.actor import Claims
from saas.domain.sessions import Session
from saas.domain.values import OrganisationId, SessionId, UserId
from saas.entrypoints.composition import Service
from saas.entrypoints.http.app import build_app
from saas.entrypoints.settings import Settings
from tests.integration.clients import PASSWORD, Person, accept, fresh_email, join, log_in, register

Cost = tuple[int, list[str]]

NOTHING: Cost = (0, [])
READ: Cost = (2, [])
"""Prove the actor, then read; neither in a transaction, which would cost two more round trips."""

ONE = ["BEGIN ISOLATION LEVEL READ COMMITTED;", "COMMIT;"]
UNDONE = [ONE[0], "ROLLBACK;"]

COSTS: dict[str, Cost] = {
    "GET /health": NOTHING,
    "GET /health/ready": (1, []),
    "POST /api/auth/register": (6, ONE),  # person, door, organisation, membership, log, session
    "POST /api/auth/login": (3, ONE),  # person; where they belong, session
    "POST /api/auth/refresh": (3, ONE),  # session locked, where they belong, session
    "POST /api/auth/logout": (2, ONE),  # actor; sessions
    "GET /api/organisations": READ,
    "PATCH /api/organisations/subscription": (3, ONE),  # actor; organisation locked, organisation with its log
    "POST /api/organisations/broadcast": (3, ONE),
    "GET /api/users": READ,
    "POST /api/users/invite": (6, ONE),  # as above and: is it a member, is it invited, invite
    "POST /api/users/accept-invite": (7, ONE),  # invite with its person; as above and: invite twice, person, membership
    "PATCH /api/users/{id}": (6, ONE),  # actor; organisation locked, membership, admins counted, membership, log
    "DELETE /api/users/{id}": (6, ONE),  # as above, but sessions instead of admins
    "GET /api/activities": READ,
}


class Recorder:
    """What all engines send: statements as they are executed, and what else only the driver knows of."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self._transactions: list[str] = []

    def on_connect(self, connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy gives it no public type
        connection.driver_connection.add_query_logger(lambda query: self._transactions.append(query.query))

    def on_execute(self, _: object, __: object, statement: str, *___: object) -> None:
        if "pg_notify" not in statement:  # a hint for other processes, sent some time later
            self.statements.append(statement)

    async def cost_of(self, reply: httpx.Response) -> Cost:
        """How many statements led to this reply, and what began and ended transactions."""
        await asyncio.sleep(0)  # the driver tells its loggers in the loop's next turn
        assert reply.status_code < 500, reply.text
        cost = len(self.statements), [query for query in self._transactions if re.match("BEGIN|COMMIT|ROLL", query)]
        self.statements.clear()
        self._transactions.clear()
        return cost


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    sa.event.listen(sa.pool.Pool, "connect", recorder.on_connect)
    sa.event.listen(sa.Engine, "before_cursor_execute", recorder.on_execute)
    yield recorder
    sa.event.remove(sa.pool.Pool, "connect", recorder.on_connect)
    sa.event.remove(sa.Engine, "before_cursor_execute", recorder.on_execute)


@pytest.fixture
async def client(recorder: Recorder, environ: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, so that its statements are recorded."""
    settings = Settings.from_environment(environ)
    service = Service(settings)
    app = build_app(service, settings)

    async def as_servers_call_it(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - whatever ASGI has
        scope["state"] = {}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(as_servers_call_it)
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
        yield client


async def test_every_route_costs_exactly_so_many_statements(client: httpx.AsyncClient, recorder: Recorder) -> None:
    admin = await register(client)
    bo, phone = await join(admin, role="ADMIN"), await log_in(client, admin.email)
    invite = await admin.invite()
    await recorder.cost_of(await client.get("/health"))
    bodies = {
        "POST /api/auth/register": {
            "name": "Cy",
            "email": fresh_email(),
            "password": PASSWORD,
            "organisationName": "Cy & Co.",
        },
        "POST /api/auth/login": {"email": admin.email, "password": PASSWORD},
        "POST /api/auth/refresh": {"refreshToken": admin.refresh_token},
        "POST /api/auth/logout": {"refreshToken": phone.refresh_token},
        "PATCH /api/organisations/subscription": {"plan": "PRO"},
        "POST /api/organisations/broadcast": {"message": "Hear, hear"},
        "POST /api/users/invite": {"email": fresh_email()},
        "POST /api/users/accept-invite": {"token": invite["token"], "name": "Di", "password": PASSWORD},
        "PATCH /api/users/{id}": {"role": "MEMBER"},
    }

    costs = {}
    for route in sorted(COSTS, key="POST /api/auth/logout".__eq__):
        method, path = route.format(id=bo.id).split()
        reply = await admin.ask(method, path, bodies.get(route))
        assert reply.is_success, reply.text
        costs[route] = await recorder.cost_of(reply)

    assert costs == COSTS
    described = (await client.get("/docs/openapi.json")).json()["paths"]
    assert COSTS.keys() == {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}


async def test_lists_cost_the_same_however_long_they_are_and_count_nothing(
    client: httpx.AsyncClient, recorder: Recorder
) -> None:
    admin = await register(client)
    await admin.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    for _ in range(3):
        await join(admin)
    await recorder.cost_of(await client.get("/health"))

    for path in ("/api/users", "/api/activities"):
        cursor = ""
        while cursor is not None:
            page = await admin.ask("GET", f"{path}?limit=2{cursor}")
            assert not [statement for statement in recorder.statements if "count(" in statement.lower()]
            assert await recorder.cost_of(page) == READ
            following = page.json()["meta"]["nextCursor"]
            cursor = following and f"&cursor={following}"
        assert await recorder.cost_of(await admin.ask("GET", f"{path}?limit=200")) == READ


async def test_what_is_refused_costs_no_more_than_finding_out(client: httpx.AsyncClient, recorder: Recorder) -> None:
    admin = await register(client)
    bo = await join(admin)
    await recorder.cost_of(await client.get("/health"))

    async def cost(who: Person, status: int, method: str, path: str, body: object = None) -> Cost:
        reply = await who.ask(method, path, body)
        assert reply.status_code == status, reply.text
        return await recorder.cost_of(reply)

    nobody = Person(client, bo.id, bo.email, f"{bo.access_token}x", "", {})
    assert await cost(nobody, 401, "GET", "/api/users") == NOTHING
    assert await cost(bo, 403, "GET", "/api/users") == (1, [])
    assert await cost(bo, 403, "POST", "/api/organisations/broadcast", {"message": "Me too"}) == (1, [])
    assert await cost(admin, 422, "POST", "/api/organisations/broadcast", {"message": ""}) == (1, [])
    assert await cost(admin, 404, "DELETE", f"/api/users/{uuid4()}") == (3, UNDONE)
    assert await cost(admin, 404, "PATCH", f"/api/users/{uuid4()}", {"role": "ADMIN"}) == (3, UNDONE)
    assert await cost(admin, 400, "PATCH", "/api/organisations/subscription", {"plan": "FREE"}) == (2, UNDONE)
    assert await cost(nobody, 401, "POST", "/api/auth/login", {"email": fresh_email(), "password": PASSWORD}) == (1, [])
    assert await recorder.cost_of(await accept(client, {"token": "not an invite"})) == NOTHING


async def test_sessions_are_found_by_their_id_or_their_person_only(database_url: str, recorder: Recorder) -> None:
    database, now = Database(database_url, assume_runtime_role=True), utc_now()
    session_id, user_id, organisation_id = SessionId(new_id()), UserId(new_id()), OrganisationId(new_id())
    session = Session.start(session_id, user_id, organisation_id, idle=timedelta(days=7), at=now)
    async with PostgresBegin(database, utc_now, new_id)() as work:
        await work.sessions.lock(session_id)
        await work.sessions.save(session)
        await work.sessions.end(user_id, [session_id], now)
        await work.sessions.end_in(organisation_id, user_id, now)
    await PostgresReads(database).actor(Claims(user_id, organisation_id, session_id, now), now)
    await PostgresFollower(database, utc_now).ended([session_id])
    await database.close()

    searches = [text for text in recorder.statements if re.search(r"(FROM|JOIN|UPDATE) sessions\b", text)]
    assert len(searches) == 6
    for text in searches:
        assert re.search(r"(WHERE|AND) sessions\.(id|user_id) (=|IN)", text), text
