import dataclasses
import json
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from threading import Barrier

import pytest

from saas.entrypoints.settings import Environment, Settings, SettingsError

ACCESS = "a-secret-of-more-than-thirty-two-bytes"
REFRESH = "b-secret-of-more-than-thirty-two-bytes"
PRODUCTION = {"SAAS_ENV": "production", "JWT_ACCESS_SECRET": ACCESS, "JWT_REFRESH_SECRET": REFRESH}


@pytest.fixture
def development(tmp_path: Path) -> dict[str, str]:
    return {"SAAS_DATA_DIR": str(tmp_path / "data")}


def refused(environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment(environ)
    assert str(refusal.value).startswith(f"{refusal.value.variable} ")
    return str(refusal.value)


def test_an_empty_environment_is_enough_to_try_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = Settings.from_environment({})

    assert settings.environment is Environment.DEVELOPMENT
    assert settings.database_url is None
    assert settings.access_lifetime == timedelta(minutes=15)
    assert settings.refresh_lifetime == timedelta(days=7)
    assert settings.port == 3000
    assert settings.data_dir == Path(".data")
    assert settings.global_limit == (100, 60)
    assert settings.auth_limit == (10, 60)
    assert settings.trusted_proxies == ()
    assert settings.signals_url is None
    assert (tmp_path / ".data" / "secrets.json").exists()


def test_empty_counts_as_unset(development: dict[str, str]) -> None:
    names = ("DATABASE_URL", "JWT_ACCESS_SECRET", "JWT_ACCESS_EXPIRES_IN", "PORT", "SAAS_ENV", "RATE_LIMIT_AUTH")
    nothing = Settings.from_environment(development)

    assert Settings.from_environment(development | dict.fromkeys(names, "")) == nothing
    assert Settings.from_environment(development | dict.fromkeys(names, "  ")) == nothing


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "PostgreSQL"])
def test_a_database_url_is_taken_in_every_usual_spelling(scheme: str) -> None:
    settings = Settings.from_environment(PRODUCTION | {"DATABASE_URL": f"{scheme}://me:pw@host/saas?ssl=require"})

    assert settings.database_url == "postgresql://me:pw@host/saas?ssl=require"


@pytest.mark.parametrize("url", ["mysql://me:hunter2@host/saas", "hunter2", "postgresql://", "hunter2@host:5432/saas"])
def test_a_refused_database_url_is_not_repeated(url: str) -> None:
    message = refused(PRODUCTION | {"DATABASE_URL": url})

    assert message.startswith("DATABASE_URL ")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("900", timedelta(minutes=15)),
    ],
)
def test_lifetimes(text: str, lifetime: timedelta) -> None:
    settings = Settings.from_environment(PRODUCTION | {"JWT_ACCESS_EXPIRES_IN": text, "JWT_REFRESH_EXPIRES_IN": text})

    assert settings.access_lifetime == settings.refresh_lifetime == lifetime


@pytest.mark.parametrize("text", ["0", "0m", "-5m", "soon", "1.5h", "15 min", "367d", "999999999w", "1m30s", "٣m"])
def test_lifetimes_that_make_no_sense(text: str) -> None:
    assert refused(PRODUCTION | {"JWT_ACCESS_EXPIRES_IN": text}).startswith("JWT_ACCESS_EXPIRES_IN ")
    assert refused(PRODUCTION | {"JWT_REFRESH_EXPIRES_IN": text}).startswith("JWT_REFRESH_EXPIRES_IN ")


@pytest.mark.parametrize("text", ["-1", "65536", "http", "3000.0", "30 00"])
def test_ports_that_do_not_exist(text: str) -> None:
    assert refused(PRODUCTION | {"PORT": text}).startswith("PORT ")


def test_rate_limits_can_be_set_and_lifted() -> None:
    settings = Settings.from_environment(PRODUCTION | {"RATE_LIMIT_GLOBAL": "5 per 2 hours", "RATE_LIMIT_AUTH": "OFF"})

    assert settings.global_limit == (5, 7_200)
    assert settings.auth_limit is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("7/second", (7, 1)),
        ("100/minute", (100, 60)),
        ("100 per 5 minutes", (100, 300)),
        ("100/2hours", (100, 7_200)),
        ("9 per day", (9, 86_400)),
    ],
)
def test_rate_limits(text: str, limit: tuple[int, int]) -> None:
    assert Settings.from_environment(PRODUCTION | {"RATE_LIMIT_AUTH": text}).auth_limit == limit


@pytest.mark.parametrize("text", ["many", "0/minute", "10/fortnight", "10/minute;100/hour", "-1/minute"])
def test_rate_limits_that_make_no_sense(text: str) -> None:
    assert refused(PRODUCTION | {"RATE_LIMIT_GLOBAL": text}).startswith("RATE_LIMIT_GLOBAL ")
    assert refused(PRODUCTION | {"RATE_LIMIT_AUTH": text}).startswith("RATE_LIMIT_AUTH ")


def test_trusted_proxies_are_addresses_and_networks() -> None:
    settings = Settings.from_environment(PRODUCTION | {"TRUSTED_PROXIES": "10.0.0.1, 172.16.0.0/12,2001:db8::/32,"})

    assert settings.trusted_proxies == (
        ip_network("10.0.0.1/32"),
        ip_network("172.16.0.0/12"),
        ip_network("2001:db8::/32"),
    )


@pytest.mark.parametrize("text", ["*", "proxy.internal", "10.0.0.1/8", "10.0.0.256"])
def test_trusted_proxies_that_are_neither(text: str) -> None:
    assert refused(PRODUCTION | {"TRUSTED_PROXIES": f"10.0.0.1,{text}"}).startswith("TRUSTED_PROXIES ")


def test_signals_may_go_through_redis_or_valkey() -> None:
    for url in ("redis://host:6379/0", "rediss://user:pw@host", "valkey://host"):
        assert Settings.from_environment(PRODUCTION | {"SIGNALS_URL": url}).signals_url == url
    assert "hunter2" not in refused(PRODUCTION | {"SIGNALS_URL": "amqp://me:hunter2@host"})


@pytest.mark.parametrize("variable", ["JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"])
def test_production_insists_on_good_secrets(variable: str) -> None:
    assert refused(PRODUCTION | {variable: ""}).startswith(f"{variable} is not set")
    message = refused(PRODUCTION | {variable: "only-thirty-one-bytes-long-word"})
    assert message.startswith(f"{variable} is shorter than 32 bytes")
    assert "only-thirty-one" not in message


def test_length_is_counted_in_bytes() -> None:
    assert Settings.from_environment(PRODUCTION | {"JWT_ACCESS_SECRET": "é" * 16}).access_secret == "é" * 16


def test_secrets_are_never_equal(development: dict[str, str]) -> None:
    for environ in (PRODUCTION, development):
        message = refused(environ | {"JWT_ACCESS_SECRET": ACCESS, "JWT_REFRESH_SECRET": ACCESS})
        assert message.startswith("JWT_REFRESH_SECRET is the same")
        assert ACCESS not in message


def test_production_makes_no_secrets_of_its_own(tmp_path: Path) -> None:
    Settings.from_environment(PRODUCTION | {"SAAS_DATA_DIR": str(tmp_path / "data")})

    assert not (tmp_path / "data").exists()


def test_development_takes_short_secrets(development: dict[str, str]) -> None:
    settings = Settings.from_environment(development | {"JWT_ACCESS_SECRET": "a", "JWT_REFRESH_SECRET": "b"})

    assert (settings.access_secret, settings.refresh_secret) == ("a", "b")


def test_generated_secrets_last_and_are_private(development: dict[str, str]) -> None:
    first = Settings.from_environment(development)
    file = first.data_dir / "secrets.json"

    assert Settings.from_environment(development) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(first.access_secret) >= 32 <= len(first.refresh_secret)
    assert list(first.data_dir.iterdir()) == [file]


def test_a_given_secret_goes_before_a_generated_one(development: dict[str, str]) -> None:
    generated = Settings.from_environment(development)

    mixed = Settings.from_environment(development | {"JWT_ACCESS_SECRET": ACCESS})

    assert (mixed.access_secret, mixed.refresh_secret) == (ACCESS, generated.refresh_secret)


def test_those_who_start_at_once_agree_on_the_secrets(development: dict[str, str]) -> None:
    together = Barrier(8)

    def start(_: int) -> Settings:
        together.wait()
        return Settings.from_environment(development)

    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(start, range(8))

    assert others == [first] * 7


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"access": "", "refresh": "x"})])
def test_a_damaged_secrets_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets.json").write_text(content)

    assert str(tmp_path / "secrets.json") in refused({"SAAS_DATA_DIR": str(tmp_path)})


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    said = refused({"SAAS_DATA_DIR": str(tmp_path / "file")})
    assert said.startswith(f"SAAS_DATA_DIR is '{tmp_path}/file', which exists and is no directory.")
    said = refused({"SAAS_DATA_DIR": str(tmp_path / "file" / "inside")})
    assert said.startswith(f"SAAS_DATA_DIR is '{tmp_path}/file/inside', which cannot be written: Not a directory.")


def test_an_unknown_environment_is_refused() -> None:
    assert refused({"SAAS_ENV": "prod"}).startswith("SAAS_ENV is 'prod'")


def test_no_secret_shows() -> None:
    urls = {"DATABASE_URL": "postgresql://me:hunter2@host/saas", "SIGNALS_URL": "redis://:hunter2@host"}
    settings = Settings.from_environment(PRODUCTION | urls)

    for shown in (repr(settings), str(settings)):
        assert not any(secret in shown for secret in (ACCESS, REFRESH, "hunter2"))


def test_settings_do_not_change() -> None:
    settings = Settings.from_environment(PRODUCTION)

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
