"""Logs go to stderr and never show a token or a password, whoever wrote them."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

_SECRETS = (
    (re.compile(r"(?<=\S)\?[^\s\"'<>]+"), "?[redacted]"),
    (re.compile(r"(token[\w%.-]{0,32}=)[^\s&;\"'<>]+", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"\beyJ[\w-]{1,512}\.[\w-]+(?:\.[\w-]+)?"), "[redacted]"),
    (re.compile(r"(\bBearer\s+)[^\s\"']+", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"\$argon2[^\s\"'<>]+"), "[redacted]"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)"), r"\1[redacted]"),
)
"""Queries of addresses, tokens elsewhere, JWTs anywhere, Authorization headers, hashes of passwords, passwords in
URLs. Each pattern is linear in the text, which may be an attacker's."""

_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName", "color_message"}


def config(*, machine_readable: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`, in every process: JSON lines for machines, plain ones for people."""
    formatter = JsonFormatter if machine_readable else PlainFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{formatter.__module__}.{formatter.__name__}"}},
        "filters": {"no_handshakes": {"()": f"{HandshakeFilter.__module__}.{HandshakeFilter.__name__}"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"},
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "saas": {"level": "INFO"},
            # A logger's own filter also holds where somebody else's handlers listen.
            "uvicorn.error": {"level": "INFO", "filters": ["no_handshakes"]},
        },
    }


def redact(text: str) -> str:
    """The text without the tokens and passwords in it."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class HandshakeFilter(logging.Filter):
    """Drops the line in which uvicorn tells the whole address, token and all, of each WebSocket."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep the record."""
        return '"WebSocket %s"' not in str(record.msg)


class PlainFormatter(logging.Formatter):
    """`12:34:56.789 INFO saas.module: message`; what does not fit on the line follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted text, in which no message can pass for a line of its own."""
        parts = (record.getMessage(), _trace(self, record))
        text = "\n".join(part for part in parts if part).replace("\n", "\n    ")
        shown = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
        moment = f"{_moment(record):%H:%M:%S}.{int(record.msecs):03}"
        return redact(f"{moment} {record.levelname} {_logger(record)}: {shown}")


class JsonFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `exception`, and any `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted object."""
        content: dict[str, object] = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": _logger(record),
            "message": record.getMessage(),
            "exception": _trace(self, record),
        }
        content |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        shown = {name: redact(str(value)) for name, value in content.items() if value is not None}
        return json.dumps(shown, ensure_ascii=False)


def _logger(record: logging.LogRecord) -> str:
    """Named as errors are, `uvicorn.error` also tells that all is well."""
    return "uvicorn" if record.name == "uvicorn.error" else record.name


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    parts = (
        formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None,
        formatter.formatStack(record.stack_info) if record.stack_info else None,
    )
    return "\n".join(part for part in parts if part) or None
