"""The live channel's description says what is really sent, and its page needs nothing from elsewhere."""

import re
from typing import Any, get_args

import httpx
from websockets.frames import CloseCode

from saas.adapters.websocket.frames import Close, ControlPayload
from saas.application.payloads import AnyPayload
from tests.integration.clients import join, listening, register
from tests.integration.servers import ServerProcess


async def described(http: httpx.AsyncClient) -> dict[str, Any]:
    reply = await http.get("/docs/asyncapi.json")
    assert reply.status_code == 200
    document: dict[str, Any] = reply.json()
    return document


def followed(reference: str, document: dict[str, Any]) -> Any:  # noqa: ANN401  # whatever it refers to
    place: Any = document
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


async def test_it_is_asyncapi_3_with_every_type_that_is_sent_or_understood(http: httpx.AsyncClient) -> None:
    document = await described(http)

    assert document["asyncapi"] == "3.0.0"
    sent = {payload.type for payload in (*get_args(AnyPayload), *get_args(ControlPayload))}
    assert set(document["components"]["messages"]) == sent | {"AUTH", "PING"}
    assert document["channels"]["live"]["address"] == "/ws"


async def test_every_reference_in_it_leads_somewhere(http: httpx.AsyncClient) -> None:
    reply = await http.get("/docs/asyncapi.json")
    references = re.findall(r'"\$ref":"([^"]+)"', reply.text)

    assert len(references) > 30
    for reference in references:
        assert followed(reference, reply.json())


async def test_it_requires_what_must_be_said_and_lists_what_may_be_heard(http: httpx.AsyncClient) -> None:
    components = (await described(http))["components"]

    assert components["messages"]["PING"]["payload"]["required"] == ["type"]
    assert components["messages"]["AUTH"]["payload"]["required"] == ["type", "payload"]
    assert components["schemas"]["AuthPayload"]["required"] == ["token"]
    reasons = components["schemas"]["ResyncPayload"]["properties"]["reason"]["enum"]
    assert sorted(reasons) == ["ahead_of_the_log", "another_epoch", "no_longer_kept"]


async def test_it_says_what_to_do_after_each_closing_code(http: httpx.AsyncClient) -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", (await described(http))["info"]["description"], re.MULTILINE)

    described_codes = {int(code) for row in rows for code in row.split(",")}
    assert described_codes == {*Close, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG, CloseCode.INTERNAL_ERROR}


async def test_frames_have_exactly_the_keys_it_gives_them(http: httpx.AsyncClient, server: ServerProcess) -> None:
    document = await described(http)
    ada = await register(http)
    async with listening(server.live_url, ada.access_token, "&after=0") as socket:
        bo = await join(ada)
        await ada.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
        await ada.data("PATCH", "/api/organisations/subscription", {"plan": "FREE"})
        await ada.broadcast("hello")
        for role in ("ADMIN", "MEMBER"):
            await ada.data("PATCH", f"/api/users/{bo.id}", {"role": role})
        await ada.data("DELETE", f"/api/users/{bo.id}")
        await socket.until("USER_REMOVED")
        await socket.say("PING")
        await socket.until("PONG")

    assert len({frame["type"] for frame in socket.frames}) == 11
    for frame in socket.frames:
        properties = document["components"]["messages"][frame["type"]]["payload"]["properties"]
        assert set(frame) == set(properties)
        schema = followed(properties["payload"]["$ref"], document)
        assert set(frame["payload"]) == set(schema["properties"])


async def test_its_page_works_without_the_internet(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs/live")).text

    assert "asyncapi.json" in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
