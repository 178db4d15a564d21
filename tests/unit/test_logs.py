import inspect
import json
import logging
import logging.config
import time
from collections.abc import Iterator

import pytest
from uvicorn.protocols.websockets import websockets_sansio_impl

from saas.entrypoints import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Leaves logging as it was."""
    loggers = [logging.getLogger(name) for name in ("root", "saas", "uvicorn", "uvicorn.error")]
    states = [(logger, logger.level, logger.handlers[:], logger.filters[:]) for logger in loggers]
    yield
    for logger, level, handlers, filters in states:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.filters[:] = filters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /ws?token=s3cret&after=5", "GET /ws?[redacted]"),
        ("?after=5&refreshToken=s3cret HTTP/1.1", "?after=5&refreshToken=[redacted] HTTP/1.1"),
        ("GET /ws?%74oken=s3cret HTTP/1.1", "GET /ws?[redacted] HTTP/1.1"),
        (f"claims of {JWT} expired", "claims of [redacted] expired"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer [redacted]"),
        ("postgresql://ada:s3cret@db:5432/saas", "postgresql://ada:[redacted]@db:5432/saas"),
        ("row ('$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA+/', 1)", "row ('[redacted]', 1)"),
        ("redis://:s3cret@cache", "redis://:[redacted]@cache"),
        ("tokens: 3, see https://docs.test/a:b", "tokens: 3, see https://docs.test/a:b"),
    ],
)
def test_secrets_are_redacted(text: str, shown: str) -> None:
    assert logs.redact(text) == shown


@pytest.mark.parametrize("piece", ["?", "a?", "token", "eyJ-", "eyJa.", "://a:", "Bearer ", "$argon2", "x"])
def test_redacting_takes_no_time_whatever_the_text(piece: str) -> None:
    started = time.perf_counter()
    logs.redact(piece * (100_000 // len(piece)))
    assert time.perf_counter() - started < 1


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("saas.somewhere", logging.WARNING, __file__, 1, message, arguments, None)


def failure() -> logging.LogRecord:
    try:
        raise ValueError(f"cannot read {JWT}")  # noqa: TRY301 - to be caught here
    except ValueError as error:
        return logging.LogRecord(
            "saas.somewhere", logging.ERROR, __file__, 1, "failed", (), (type(error), error, error.__traceback__)
        )


def test_a_plain_line_hides_secrets_in_arguments_and_tracebacks() -> None:
    formatter = logs.PlainFormatter()

    assert formatter.format(record("asked for %s", "/ws?token=s3cret")).endswith(
        " WARNING saas.somewhere: asked for /ws?[redacted]"
    )
    shown = formatter.format(failure())
    assert "ValueError: cannot read [redacted]" in shown
    assert JWT not in shown


def test_no_message_can_pass_for_another_line() -> None:
    shown = logs.PlainFormatter().format(record("name is %s", "x\n12:00:00.000 ERROR saas: forged\x1b[2J"))

    assert shown.splitlines()[1:] == ["    12:00:00.000 ERROR saas: forged\\x1b[2J"]


def test_a_json_line_is_one_object_with_its_extras_and_no_secrets() -> None:
    formatter = logs.JsonFormatter()
    asked = record("asked for %s\n", '"/ws?token=s3cret"')
    asked.requestId = "r-1"

    shown = formatter.format(asked)

    assert "\n" not in shown
    content = json.loads(shown)
    assert content.pop("time").endswith("Z")
    assert content == {
        "level": "WARNING",
        "logger": "saas.somewhere",
        "message": 'asked for "/ws?[redacted]"\n',
        "requestId": "r-1",
    }
    assert "ValueError: cannot read [redacted]" in json.loads(formatter.format(failure()))["exception"]


@pytest.mark.parametrize("formatter", [logs.PlainFormatter(), logs.JsonFormatter()])
def test_an_ordinary_line_of_the_server_does_not_call_itself_an_error(formatter: logging.Formatter) -> None:
    shown = formatter.format(logging.LogRecord("uvicorn.error", logging.INFO, __file__, 1, "all is well", (), None))

    assert "uvicorn" in shown
    assert "error" not in shown


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("machine_readable", [True, False])
def test_nothing_is_heard_of_a_handshake_but_everything_else_is(
    capsys: pytest.CaptureFixture[str], *, machine_readable: bool
) -> None:
    logging.config.dictConfig(logs.config(machine_readable=machine_readable))

    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", "/ws?token=s3cret")
    uvicorn.info("Shutting down")
    logging.getLogger("saas.somewhere").info("ready")

    shown = capsys.readouterr().err
    assert "WebSocket" not in shown
    assert "Shutting down" in shown
    assert "ready" in shown


def test_the_handshake_line_is_still_worded_as_the_filter_knows_it() -> None:
    assert inspect.getsource(websockets_sansio_impl).count('"WebSocket %s"') >= 1
