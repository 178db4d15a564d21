"""The README keeps its word: its quick start is run as it stands, and what it says comes back does."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.servers import SECRETS, serving

STEP = re.compile(r"```bash\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
MARK = "----- next step -----"


def steps(repository: Path) -> list[tuple[str, str]]:
    quick_start = (repository / "README.md").read_text().split("## Quick start")[1].split("\n## ")[0]
    found = STEP.findall(quick_start)
    assert len(found) == quick_start.count("```bash"), "every command is followed by what comes back"
    return found


def matches(said: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


def test_every_command_of_the_quick_start_gives_what_it_says(
    repository: Path, empty_database: str, tmp_path: Path
) -> None:
    documented = steps(repository)
    script = f"\necho '{MARK}'\n".join(command for command, _ in documented)
    with serving(tmp_path, {"DATABASE_URL": empty_database, **SECRETS}) as server:
        ran = subprocess.run(  # noqa: S603  # our own README
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
            env={**os.environ, "PORT": str(server.port)},
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.split(f"{MARK}\n")
    assert len(said) == len(documented)
    for (command, expected), reply in zip(documented, said, strict=True):
        if not matches(reply, expected):
            pytest.fail(f"{command}\ngave\n{reply}\ninstead of\n{expected}")


def test_the_two_commands_are_on_the_first_screen_and_are_targets_of_the_makefile(repository: Path) -> None:
    first_screen = (repository / "README.md").read_text().splitlines()[:24]
    makefile = (repository / "Makefile").read_text()
    for command in ("run", "test"):
        assert any(line.startswith(f"make {command}") for line in first_screen)
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_every_link_to_a_file_leads_somewhere(repository: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (repository / "README.md").read_text())
    assert links
    assert [link for link in links if not (repository / link).exists()] == []
