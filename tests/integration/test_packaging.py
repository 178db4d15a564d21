import ast
import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.servers import ServerProcess

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return content


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def locked(lock: str) -> dict[str, str]:
    """The requirements of a lock file by name, each with its hashes."""
    text = re.sub(r"\s*#.*", "", (ROOT / lock).read_text()).replace("\\\n", " ")
    return {line.split("==")[0]: line for line in text.splitlines() if line.strip()}


def test_only_the_app_publishes_a_port_and_to_this_machine_only(compose: dict[str, Any]) -> None:
    assert "ports" not in compose["services"]["db"]
    assert compose["services"]["app"]["ports"] == ["${BIND:-127.0.0.1}:${PORT:-3000}:3000"]


def test_no_log_grows_without_end(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["logging"]["driver"] == "json-file"
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_database_keeps_its_data_where_its_image_does(compose: dict[str, Any]) -> None:
    database = compose["services"]["db"]
    (volume,) = database["volumes"]
    name, path = volume.split(":")

    assert int(database["image"].removeprefix("postgres:")) >= 18
    assert path == "/var/lib/postgresql"
    assert name in compose["volumes"]


def test_the_app_waits_for_a_healthy_database(compose: dict[str, Any]) -> None:
    assert compose["services"]["app"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert "pg_isready" in compose["services"]["db"]["healthcheck"]["test"][1]


def test_compose_has_no_secret_in_it_and_no_default_for_one(compose: dict[str, Any]) -> None:
    environment = compose["services"]["db"]["environment"] | compose["services"]["app"]["environment"]

    for variable in ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"):
        assert environment[variable].startswith(f"${{{variable}:?")
    assert environment["SAAS_ENV"] == "production"


def test_every_variable_of_compose_is_explained(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", json.dumps(compose)))
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))

    assert asked - explained == set()


def test_the_example_can_start_nothing_until_its_secrets_are_filled_in() -> None:
    text = (ROOT / ".env.example").read_text()

    for variable in ("JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET", "POSTGRES_PASSWORD"):
        assert re.search(rf"^{variable}=$", text, flags=re.MULTILINE)


def test_the_app_is_confined(compose: dict[str, Any]) -> None:
    app = compose["services"]["app"]

    assert app["read_only"] is True
    assert app["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's
    assert app["cap_drop"] == ["ALL"]
    assert app["security_opt"] == ["no-new-privileges:true"]
    assert app["restart"] == "unless-stopped"


def test_requests_in_flight_have_time_to_end_before_the_container_is_killed(compose: dict[str, Any]) -> None:
    source = ast.parse((ROOT / "src/saas/entrypoints/server.py").read_text())
    (grace,) = (
        keyword.value.value
        for keyword in ast.walk(source)
        if isinstance(keyword, ast.keyword)
        and keyword.arg == "timeout_graceful_shutdown"
        and isinstance(keyword.value, ast.Constant)
    )

    assert isinstance(grace, int)
    assert int(compose["services"]["app"]["stop_grace_period"].removesuffix("s")) >= grace + 5


def test_the_container_does_not_run_as_root(dockerfile: list[tuple[str, str]]) -> None:
    last_stage = dockerfile[max(place for place, (word, _) in enumerate(dockerfile) if word == "FROM") :]
    users = [rest for word, rest in last_stage if word == "USER"]

    assert users == ["10001:10001"]


def test_signals_reach_the_server_since_no_shell_stands_between(dockerfile: list[tuple[str, str]]) -> None:
    (command,) = (rest for word, rest in dockerfile if word == "CMD")

    assert json.loads(command) == ["saas", "serve"]


def test_the_health_check_asks_the_service_whatever_proxy_is_set(
    dockerfile: list[tuple[str, str]], server: ServerProcess
) -> None:
    (check,) = (rest for word, rest in dockerfile if word == "HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "python"

    def ask(port: int) -> int:
        environ = {"PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environ, check=False, capture_output=True).returncode  # noqa: S603 - as above

    assert ask(server.port) == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert ask(silent.getsockname()[1]) == 1


def test_the_image_is_built_from_the_lock_file(dockerfile: list[tuple[str, str]]) -> None:
    installations = [rest for word, rest in dockerfile if word == "RUN" and "pip install" in rest]

    assert len(installations) == 2
    assert all("--no-deps" in installation for installation in installations)
    assert "--require-hashes" in installations[0]
    assert "--no-build-isolation" in installations[1]


def test_neither_data_nor_secrets_can_slip_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "requirements.lock",
        "src",
        "migrations",
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_has_a_hash(lock: str) -> None:
    requirements = locked(lock)

    assert requirements
    for line in requirements.values():
        assert re.match(r"[a-z0-9-]+==\S+", line)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert not re.search(r"://|--[a-z-]*(?:index|links)|\s/\w|\.(?:org|com|net|io)\b", text)


def test_the_lock_files_hold_what_the_project_asks_for_in_the_same_versions(project: dict[str, Any]) -> None:
    running, working = locked(LOCKS[0]), locked(LOCKS[1])
    groups = project["dependency-groups"]

    assert names(project["project"]["dependencies"]) <= running.keys()
    assert names(groups["build"]) <= running.keys()
    assert names(groups["dev"]) <= working.keys()
    assert working | running == working


def test_what_builds_the_package_is_locked_too(project: dict[str, Any]) -> None:
    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]


def test_every_dependency_is_accounted_for(project: dict[str, Any]) -> None:
    groups = project["dependency-groups"]
    table = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {name.lower().replace("_", "-") for name in re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE)}

    assert explained == names([*project["project"]["dependencies"], *groups["build"], *groups["dev"]])
