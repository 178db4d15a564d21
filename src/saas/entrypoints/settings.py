"""The environment, read once into a frozen `Settings`; every error names the variable and says what to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple, Self

from saas.entrypoints.secrets_file import SecretsFileError, generated_secrets

SHORTEST_SECRET = 32
"""Bytes. HMAC-SHA-256 is no stronger than its key, and RFC 7518, 3.2 requires at least the hash's size."""

LONGEST_LIFETIME = timedelta(days=366)

_DURATION = re.compile(r"(\d{1,8})\s*([smhdw]?)", re.ASCII)
_RATE = re.compile(r"([1-9]\d{0,8})\s*(?:/|\s+per\s+)\s*([1-9]\d{0,5})?\s*(second|minute|hour|day)s?", re.ASCII)
_LIFETIME_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_RATE_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_SIGNALS_SCHEMES = ("redis", "rediss", "valkey")


class SettingsError(Exception):
    """A variable has an unusable value; the message names it, says what to do and shows no secret."""

    def __init__(self, variable: str, remedy: str) -> None:
        super().__init__(f"{variable} {remedy}")
        self.variable = variable


class RateLimit(NamedTuple):
    """At most `requests` requests in `seconds` seconds."""

    requests: int
    seconds: int


class Environment(StrEnum):
    """Where the service runs; `PRODUCTION` requires secrets of sufficient length and logs JSON."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the service. Its `repr` shows no secret, so that it may be logged."""

    environment: Environment
    database_url: str | None = field(repr=False)
    """`postgresql://...`, whichever accepted scheme was given; None means the embedded server."""
    access_secret: str = field(repr=False)
    refresh_secret: str = field(repr=False)
    access_lifetime: timedelta
    refresh_lifetime: timedelta
    port: int
    data_dir: Path
    global_limit: RateLimit | None
    """None means no limit, here and below."""
    auth_limit: RateLimit | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    signals_url: str | None = field(repr=False)
    """None means signals through the database."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; an empty variable counts as unset.

        In development, secrets that are not given are read from the data directory, where they are generated on the
        first call. Raises `SettingsError`.
        """
        source = _Source(environ)
        environment = source.environment()
        data_dir = Path(source.get("SAAS_DATA_DIR") or ".data")
        access_secret, refresh_secret = source.secrets(environment, data_dir)
        return cls(
            environment=environment,
            database_url=source.database_url(),
            access_secret=access_secret,
            refresh_secret=refresh_secret,
            access_lifetime=source.duration("JWT_ACCESS_EXPIRES_IN", "15m"),
            refresh_lifetime=source.duration("JWT_REFRESH_EXPIRES_IN", "7d"),
            port=source.port(),
            data_dir=data_dir,
            global_limit=source.rate_limit("RATE_LIMIT_GLOBAL", "100/minute"),
            auth_limit=source.rate_limit("RATE_LIMIT_AUTH", "10/minute"),
            trusted_proxies=source.networks("TRUSTED_PROXIES"),
            signals_url=source.signals_url(),
        )


class _Source:
    """Reads one variable at a time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def get(self, variable: str) -> str | None:
        return self._environ.get(variable, "").strip() or None

    def environment(self) -> Environment:
        value = self.get("SAAS_ENV") or Environment.DEVELOPMENT
        try:
            return Environment(value)
        except ValueError:
            raise SettingsError(
                "SAAS_ENV", f"is {value!r}. Set it to `development` or `production`, or leave it out."
            ) from None

    def secrets(self, environment: Environment, data_dir: Path) -> tuple[str, str]:
        access, refresh = self.get("JWT_ACCESS_SECRET"), self.get("JWT_REFRESH_SECRET")
        if environment is Environment.PRODUCTION:
            access = _long_enough("JWT_ACCESS_SECRET", access)
            refresh = _long_enough("JWT_REFRESH_SECRET", refresh)
        elif not access or not refresh:
            try:
                generated = generated_secrets(data_dir)
            except SecretsFileError as error:
                raise SettingsError("SAAS_DATA_DIR", f"is '{data_dir}', {error}") from error
            access, refresh = access or generated.access, refresh or generated.refresh
        if access == refresh:
            raise SettingsError("JWT_REFRESH_SECRET", "is the same as JWT_ACCESS_SECRET. Give each its own value.")
        return access, refresh

    def duration(self, variable: str, default: str) -> timedelta:
        value = self.get(variable) or default
        match = _DURATION.fullmatch(value)
        lifetime = timedelta(seconds=int(match[1]) * _LIFETIME_SECONDS[match[2]]) if match else timedelta()
        if not timedelta() < lifetime <= LONGEST_LIFETIME:
            raise SettingsError(
                variable,
                f"is {value!r}. Set it to a time like `15m`, `12h` or `7d` (a bare number means seconds), "
                f"at most {LONGEST_LIFETIME.days}d.",
            )
        return lifetime

    def port(self) -> int:
        value = self.get("PORT") or "3000"
        if not re.fullmatch(r"\d{1,5}", value, re.ASCII) or int(value) > 65_535:  # noqa: PLR2004 - what TCP has
            raise SettingsError("PORT", f"is {value!r}. Set it to a number from 0 (any free port) to 65535.")
        return int(value)

    def rate_limit(self, variable: str, default: str) -> RateLimit | None:
        value = self.get(variable) or default
        if value.lower() == "off":
            return None
        match = _RATE.fullmatch(value)
        if match is None:
            raise SettingsError(
                variable, f"is {value!r}. Set it to one rate like `100/minute` or `500 per 5 minutes`, or to `off`."
            )
        return RateLimit(int(match[1]), int(match[2] or 1) * _RATE_SECONDS[match[3]])

    def networks(self, variable: str) -> tuple[IPv4Network | IPv6Network, ...]:
        entries = (entry.strip() for entry in (self.get(variable) or "").split(","))
        return tuple(_network(variable, entry) for entry in entries if entry)

    def database_url(self) -> str | None:
        return self._url("DATABASE_URL", _DATABASE_SCHEMES, "postgresql", "postgresql://user:password@host:5432/name")

    def signals_url(self) -> str | None:
        return self._url("SIGNALS_URL", _SIGNALS_SCHEMES, None, "redis://host:6379/0")

    def _url(self, variable: str, schemes: tuple[str, ...], canonical: str | None, example: str) -> str | None:
        value = self.get(variable)
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        if not separator or not rest or scheme.lower() not in schemes:
            # The value may contain a password, so the message does not repeat it.
            raise SettingsError(
                variable, f"does not start with {' or '.join(f'{s}://' for s in schemes)}. Set it like {example}."
            )
        return f"{canonical or scheme.lower()}://{rest}"


def _long_enough(variable: str, secret: str | None) -> str:
    remedy = f"Set it to at least {SHORTEST_SECRET} random bytes, for example from `openssl rand -base64 48`."
    if secret is None:
        raise SettingsError(variable, f"is not set. {remedy}")
    if len(secret.encode()) < SHORTEST_SECRET:
        raise SettingsError(variable, f"is shorter than {SHORTEST_SECRET} bytes. {remedy}")
    return secret


def _network(variable: str, entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise SettingsError(
            variable, f"has {entry!r} in it: {error}. Set it to addresses or networks like `10.0.0.1,172.16.0.0/12`."
        ) from None
