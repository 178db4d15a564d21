"""Logs go to stderr and never show a token or a password, whichever library writes the line."""

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
"""In this order: queries of URLs, `token=` elsewhere, JWTs, Authorization headers, password hashes, passwords in URLs.
Each pattern takes time linear in the text, since an attacker may have written it."""

_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName", "color_message"}


def config(*, machine_readable: bool) -> dict[str, Any]:
    """The argument of `logging.config.dictConfig` for every process: JSON lines for machines, or plain text."""
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
            # The filter is on the logger, so that it also holds for handlers that others add.
            "uvicorn.error": {"level": "INFO", "filters": ["no_handshakes"]},
        },
    }


def redact(text: str) -> str:
    """The text with tokens and passwords replaced."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class HandshakeFilter(logging.Filter):
    """Drops the line in which uvicorn logs the URL of each WebSocket, with its token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep the record."""
        return '"WebSocket %s"' not in str(record.msg)


class PlainFormatter(logging.Formatter):
    """`12:34:56.789 INFO saas.module: message`; further lines of the message and the traceback follow, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted text. No message can imitate another log line, since its further lines are indented."""
        parts = (record.getMessage(), _trace(self, record))
        text = "\n".join(part for part in parts if part).replace("\n", "\n    ")
        shown = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
        moment = f"{_moment(record):%H:%M:%S}.{int(record.msecs):03}"
        return redact(f"{moment} {record.levelname} {_logger(record)}: {shown}")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `exception`, any `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The JSON object, redacted."""
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
    """The logger's name; `uvicorn.error` is shown as `uvicorn`, since it logs more than errors."""
    return "uvicorn" if record.name == "uvicorn.error" else record.name


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    parts = (
        formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None,
        formatter.formatStack(record.stack_info) if record.stack_info else None,
    )
    return "\n".join(part for part in parts if part) or None
