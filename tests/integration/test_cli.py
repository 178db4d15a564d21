import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest

from saas.domain.errors import Unavailable
from saas.entrypoints import cli
from saas.entrypoints.cli import main

SRC = Path(__file__).parents[2] / "src"
READY = re.compile(r"Serving on (http://localhost:\d+), docs at \1/docs$")
READY_SECONDS = 60


def environment(data_dir: Path) -> dict[str, str]:
    ours = {"DATABASE_URL", "PORT", "SAAS_ENV", "JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    limits = {"RATE_LIMIT_GLOBAL": "off", "RATE_LIMIT_AUTH": "off"}
    return inherited | limits | {"SAAS_DATA_DIR": str(data_dir), "PYTHONPATH": str(SRC)}


class Serving:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def url(self) -> str:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if ready := READY.search(line):
                    return ready[1]
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Serving]:
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own command
            (sys.executable, "-m", "saas", "serve", "--port", "0", *arguments),
            env=environment(folder / "data"),
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield Serving(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def database_is_up(folder: Path) -> bool:
    return (folder / "data" / "postgres" / "cluster" / ".s.PGSQL.5432").exists()


@pytest.mark.parametrize(
    ("number", "arguments"),
    [(signal.SIGTERM, ()), (signal.SIGINT, ()), (signal.SIGHUP, ()), (signal.SIGTERM, ("--workers", "2"))],
)
def test_it_serves_with_nothing_configured_and_stops_in_peace(
    tmp_path: Path, number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    with serving(tmp_path, *arguments) as server:
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
        assert httpx.get(f"{server.url}/health/ready").is_success
        assert httpx.get(f"{server.url}/api/users").status_code == 401
        assert database_is_up(tmp_path)

        assert server.stop(number) == 0

    assert not database_is_up(tmp_path)
    told = server.log.read_text()
    assert "Traceback" not in told
    assert "GET /api/users 401" in told
    assert "/health" not in told


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_it_serves_on_with_all_that_was_acknowledged_after_its_database_was_killed(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with serving(tmp_path, *arguments) as server:
        url = server.url
        ada = {"email": "ada@acme.test", "password": "correct horse battery"}
        body = ada | {"name": "Ada", "organisationName": "Acme"}
        assert httpx.post(f"{url}/api/auth/register", json=body, timeout=30).status_code == 201
        pid_file = tmp_path / "data" / "postgres" / "cluster" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            reply = httpx.post(f"{url}/api/auth/login", json=ada, timeout=30)
            if reply.status_code == 200 and "PostgreSQL has died" in server.log.read_text():
                break
            time.sleep(0.5)
        assert reply.status_code == 200, server.log.read_text()
        token = reply.json()["data"]["accessToken"]
        feed = httpx.get(f"{url}/api/activities", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        assert feed.is_success
        assert server.stop(signal.SIGTERM) == 0

    assert server.log.read_text().count("PostgreSQL has died") == 1
    assert not database_is_up(tmp_path)


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        url = server.url
        server.process.kill()
        server.process.wait()

        deadline = time.monotonic() + 20
        while answers(url) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not answers(url)

    with serving(tmp_path) as server:
        assert httpx.get(f"{server.url}/health").is_success
    assert not database_is_up(tmp_path)


def test_a_port_in_use_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAAS_DATA_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1

    assert re.fullmatch(
        rf"saas: port {port} on 127\.0\.0\.1 is already in use, perhaps by another `make run`\..*\n",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "postgres").exists()


def test_a_wrong_setting_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAAS_ENV", "production")
    monkeypatch.setenv("JWT_ACCESS_SECRET", "")

    assert main(["serve"]) == 2
    assert re.fullmatch(r"saas: JWT_ACCESS_SECRET is not set\..*\n", capsys.readouterr().err)


def test_a_database_that_is_away_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAAS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:1/saas")

    assert main(["migrate"]) == 1
    assert re.fullmatch(r"saas: Cannot reach the database.*\n", shown := capsys.readouterr().err)
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "arguments", [[], ["serve", "--port", "http"], ["serve", "--port", "65536"], ["serve", "--workers", "0"]]
)
def test_a_wrong_call_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)

    assert refusal.value.code == 2
    assert "usage: saas" in capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])

    assert done.value.code == 0
    assert re.fullmatch(r"saas \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_number_of_workers_that_makes_no_sense_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--workers", "0"])

    assert "'0' must be 1 or more" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAAS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(cli, "_serve", Mock(side_effect=Unavailable))

    with pytest.raises(Unavailable):
        main(["serve"])


def test_the_database_goes_down_and_up_again(tmp_path: Path) -> None:
    def migrate(*revision: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 - our own command
            (sys.executable, "-m", "saas", "migrate", *revision),
            env=environment(tmp_path),
            check=False,
            capture_output=True,
            text=True,
        )

    assert [migrate(*revision).returncode for revision in ((), ("-1",), ("head",), ("base",), ())] == [0] * 5
    unknown = migrate("nowhere")
    assert unknown.returncode == 1
    assert unknown.stderr.splitlines()[-1].startswith("saas: ")
    assert "Traceback" not in unknown.stderr
