"""What is refused, and that refusing it costs little and is said in the way that a client can understand."""

import asyncio
import json
import os
import select
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.integration.clients import Person, register
from tests.integration.live.ears import PING, TEXT, Ear, audience, dial, handshake, listen
from tests.integration.live.storms import Writer, resident_bytes, served
from tests.integration.live.wires import until
from tests.integration.servers import ServerProcess

Pair = tuple[ServerProcess, ServerProcess]

BINARY, CONTINUATION = 2, 0
MASKED = b"\x80\x00\x00\x00\x00"


@pytest.fixture
async def ada(http: httpx.AsyncClient) -> Person:
    return await register(http)


@pytest.fixture
async def ear(pair: Pair, ada: Person) -> Ear:
    return await listen(pair[0].port, ada.access_token)


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("a frame that is not masked", b"\x81\x02{}", 1002),
        ("a reserved bit, as of compression that was not agreed on", b"\xc1" + MASKED, 1002),
        ("an unknown kind of frame", b"\x83" + MASKED, 1002),
        ("a continuation of nothing", b"\x80" + MASKED, 1002),
        ("a fragmented ping", b"\x09" + MASKED, 1002),
        ("a ping that is too long", b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
        ("a closing code that means nothing", b"\x88\x82" + bytes(4) + b"\x03\xec", 1002),
        ("text that is none", b"\x81\x81" + bytes(4) + b"\xff", 1007),
        ("text that is none in two fragments", b"\x01\x81" + bytes(4) + b"\xc3\x80\x81" + bytes(4) + b"\xc3", 1007),
        ("a frame said to be enormous", b"\x81\xff" + (2**40).to_bytes(8) + bytes(4), 1009),
        ("a frame of 64 KiB and a byte", b"\x81\xff" + (65_537).to_bytes(8) + bytes(4 + 65_537), 1009),
        ("a frame of a GiB", b"\x81\xff" + (2**30).to_bytes(8) + bytes(4 + 2**23), 1009),
        (
            "two large fragments",
            b"\x01\xfe\x9c\x40" + bytes(4 + 40_000) + b"\x80\xfe\x9c\x40" + bytes(4 + 40_000),
            1009,
        ),
    ],
)
async def test_what_breaks_the_protocol_is_answered_by_the_code_for_it(
    ear: Ear, name: str, raw: bytes, code: int
) -> None:
    ear.transport.write(raw)
    assert await ear.closed() == code, name


async def test_one_that_is_still_sending_when_it_is_refused_hears_why_and_of_no_reset(ear: Ear) -> None:
    ear.transport.pause_reading()
    ear.transport.write(b"\x81\xff" + (2**30).to_bytes(8) + bytes(2**23))
    await until(lambda: ear.transport.get_write_buffer_size() == 0)
    ear.transport.resume_reading()
    assert await ear.closed() == 1009


async def test_messages_of_64_kib_in_pieces_with_pings_between_them_are_in_order(ear: Ear) -> None:
    ear.say(b"{" + b" " * 65_535)
    ear.say(b"{", is_last=False)
    for _ in range(100):
        ear.say(b"", CONTINUATION, is_last=False)
        ear.say(b"still there?", PING)
    ear.say(b" " * 65_535, CONTINUATION)
    await ear.until(lambda ear: ear.pongs == 100 and len(ear.frames) == 3)
    assert [frame.type for frame in ear.frames] == ["CONNECTED", "ERROR", "ERROR"]
    ear.say(b"{", is_last=False)
    ear.say(b"\x03\xe8", 8)
    assert await ear.closed() == 1000


async def test_a_message_in_pieces_of_one_byte_takes_no_more_memory_than_another(pair: Pair, ada: Person) -> None:
    before = resident_bytes(pair[0])
    async with audience([pair[0].port] * 20, ada.access_token) as ears:
        for ear in ears:
            ear.say(b"{", is_last=False)
            ear.transport.write((b"\x00\x81" + bytes(4) + b" ") * 60_000)
            ear.say(b"", PING)
        for ear in ears:
            await ear.until(lambda ear: ear.pongs)
        assert resident_bytes(pair[0]) - before < 16_000_000
        for ear in ears:
            ear.say(b"", CONTINUATION)
            await ear.until(lambda ear: len(ear.frames) == 2)
            assert ear.frames[1].type == "ERROR"


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ('{"type":"PING"}', "PONG"),
        ('{"type":"PING","payload":{},"more":[1,2]}', "PONG"),
        ('{"type":"SUBSCRIBE"}', "ERROR"),
        ('{"type":1}', "ERROR"),
        ('{"type":"PING","payload":7}', "ERROR"),
        ('{"type":"AUTH","payload":{"token":"x","after":-1}}', "ERROR"),
        ('{"type":"AUTH","payload":{}}', "ERROR"),
        ("[" * 10_000, "ERROR"),
        ("null", "ERROR"),
        ("", "ERROR"),
    ],
)
async def test_what_a_client_says_is_answered_be_it_nonsense(ear: Ear, said: str, answered: str) -> None:
    for opcode in (TEXT, BINARY):
        ear.say(said.encode(), opcode)
        ear.say_json("PING")
    await ear.until(lambda ear: len(ear.frames) == 5)
    assert [frame.type for frame in ear.frames[1:]] == [answered, "PONG"] * 2


async def test_a_flood_of_messages_ends_the_socket(ear: Ear) -> None:
    for _ in range(10_000):
        ear.say_json("PING")
    assert await ear.closed() == 1008
    assert len(ear.frames) <= 61


async def gone(ears: Sequence[Ear]) -> None:
    """Wait for the resets of connections that nobody reads from."""
    poll = select.poll()
    for ear in ears:
        poll.register(ear.transport.get_extra_info("socket"), 0)
    async with asyncio.timeout(25):
        while len(poll.poll(0)) < len(ears):  # noqa: ASYNC110 - asyncio only watches who reads or writes
            await asyncio.sleep(0.05)
    for ear in ears:
        ear.transport.abort()


async def deaf_ears(port: int, person: Person) -> list[Ear]:
    """Three sockets that read nothing."""
    ears = [await listen(port, person.access_token, receive_buffer=4_096) for _ in range(3)]
    for ear in ears:
        ear.transport.pause_reading()
    return ears


async def test_pings_of_one_that_reads_no_answers_do_not_pile_up(pair: Pair, ada: Person) -> None:
    before = resident_bytes(pair[0])
    ears = await deaf_ears(pair[0].port, ada)
    pings = (b"\x89\xfd" + bytes(4 + 125)) * 1_000
    for ear in ears * 200:
        ear.transport.write(pings)
    await gone(ears)
    assert resident_bytes(pair[0]) - before < 16_000_000


async def test_those_that_read_nothing_are_not_kept_for_what_they_have_not_read(pair: Pair, ada: Person) -> None:
    ears = await deaf_ears(pair[0].port, ada)
    writer = Writer(pair[0].port)
    for _ in range(70):  # more than the kernel takes, less than we keep
        await writer.broadcast(ada.access_token, "\N{HAMMER}" * 4_000)
    writer.close()
    for ear, parting in zip(ears, (b"\x81\x02{}", b"\x88\x82" + bytes(4) + b"\x03\xe8", b""), strict=True):
        ear.transport.write(parting)
    await gone(ears)


@pytest.mark.parametrize(
    "first",
    [
        b"", b"{", b"null", b'"AUTH"', b'{"type":"PING"}', b'{"type":"AUTH"}', b'{"type":"AUTH","payload":null}',
        b'{"type":"AUTH","payload":{"token":""}}', b'{"type":"AUTH","payload":{"token":"a.b.c"}}',
        b'{"type":"AUTH","payload":{"token":7}}', b"[" * 60_000, b"\x00",
    ],
)  # fmt: skip
async def test_a_first_message_that_proves_nothing_ends_the_socket(pair: Pair, first: bytes) -> None:
    stranger = await dial(pair[0].port)
    stranger.say(first)
    assert await stranger.closed() == 4401
    assert stranger.frames == []


async def test_one_that_never_says_who_it_is_is_not_kept_for_long(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    silent, pinging, babbling = [await dial(pair[0].port) for _ in range(3)]
    pinging.say(b"", PING)
    babbling.say(b"{", is_last=False)
    for stranger in (silent, pinging, babbling):
        assert await stranger.closed() == 4401
    assert 4.9 < loop.time() - start < 15


async def test_handshakes_are_refused_before_there_is_a_socket(pair: Pair, ada: Person) -> None:
    port, token = pair[0].port, f"token={ada.access_token}"
    for query, headers, status in (
        (token, "Origin: https://evil.example\r\n", 403),
        (token, "Origin: null\r\n", 403),
        (token, "Origin: http://[\r\n", 403),
        (token, f"Origin: http://127.0.0.1:{port}\r\n", 101),
        ("token=nonsense", "", 401),
        (f"token={ada.refresh_token}", "", 401),
        ("", "Authorization: Bearer nonsense\r\n", 401),
        ("", f"Authorization: Bearer {ada.access_token}\r\n", 101),
        (f"{token}&after=-1", "", 400),
        (f"{token}&after=abc", "", 400),
        (f"{token}&after=1.5", "", 400),
        (f"{token}&after=%C2%B2", "", 400),
        (f"{token}&after=" + "9" * 5_000, "", 400),
        (f"{token}&after=" + "9" * 4_000, "", 101),
        (f"{token}&after=", "", 400),
        (f"{token}&after=1&after=2", "", 101),
        (f"{token}&junk=" + "x" * 20_000, "", 414),
        (f"{token}&junk=\xff", "", 400),
        (token, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", 101),
    ):
        ear = await dial(port, query, headers=headers)
        assert ear.status == status, (query, headers, ear.head)
        assert b"sec-websocket-extensions" not in ear.head.lower()
        assert status != 401 or b"www-authenticate: bearer" in ear.head.lower()
        assert status != 403 or b"content-type: application/problem+json" in ear.head.lower()
        ear.transport.abort()


@pytest.mark.parametrize(
    "raw", [b"\x81\x02{}", b"\x88\x82" + bytes(4) + b"\x03\xe8", b"\x81\x81" + bytes(4) + b"\xff", b""]
)
async def test_frames_before_the_handshake_is_answered_and_leaving_in_the_middle_of_it_do_no_harm(
    pair: Pair, ada: Person, raw: bytes
) -> None:
    request = handshake(pair[0].port, f"token={ada.access_token}&after=0")
    for turn in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", pair[0].port)
        writer.write(request)
        await asyncio.sleep(turn / 10_000)
        writer.write(raw)
        await asyncio.sleep(turn % 7 / 1_000)
        writer.transport.abort()
    async with asyncio.timeout(30):
        while True:  # until there is room for as many as ever
            with suppress(AssertionError):
                async with audience([pair[0].port] * 20, ada.access_token):
                    break


async def test_what_nobody_expected_is_logged_and_answered_before_the_handshake_and_after_it(
    empty_database: str, environ: dict[str, str], tmp_path: Path
) -> None:
    async with (
        served(tmp_path, {**environ, "DATABASE_URL": empty_database}) as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        ada = await register(http)
        port, token = server.port, ada.access_token
        inside, outside = await listen(port, token), await dial(port)
        superuser = await asyncpg.connect(empty_database)
        await superuser.execute("alter table memberships rename column role to part")
        await superuser.close()

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(port, f"token={token}", "X-Request-ID: first\r\n"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"x-request-id: first" in head.lower()
        assert json.loads(body)["code"] == "internal_error"
        for ear in (inside, outside):
            ear.say_json("AUTH", token=token)
            assert await ear.closed() == 1011

        output = server.output()
        assert "ERROR saas.entrypoints.http.live: WEBSOCKET /ws failed, request first" in output
        assert output.count("WEBSOCKET /ws failed") == 3
        assert output.count("UndefinedColumnError: column memberships.role does not exist") >= 3
        assert token[-20:] not in output


async def test_who_does_not_ask_for_a_socket_is_told_to(pair: Pair, http: httpx.AsyncClient) -> None:
    reply = await http.get("/ws")
    assert (reply.status_code, reply.headers["upgrade"]) == (426, "websocket")


async def test_no_token_is_ever_logged(pair: Pair, ada: Person) -> None:
    for token in (ada.access_token, ada.refresh_token, os.urandom(20).hex()):
        for server in pair:
            (await dial(server.port, f"token={token}")).transport.abort()
            (await dial(server.port, headers=f"Authorization: Bearer {token}\r\n")).transport.abort()
            async with httpx.AsyncClient(base_url=server.url) as http:
                await http.get(f"/ws?token={token}")
            first = await dial(server.port)
            first.say_json("AUTH", token=token)
            await first.until(lambda ear: ear.frames or ear.is_lost)
            first.transport.abort()
            assert token not in server.output()
            assert token[-20:] not in server.output()
