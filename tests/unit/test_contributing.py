"""What docs/contributing.md tells works: its example is run as it stands, and every file it names is there."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "contributing.md").read_text()


def test_the_example_of_a_test_passes_as_it_stands(tmp_path: Path) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "test_promotion.py"
    file.write_text(example)

    ran = subprocess.run(  # noqa: S603  # our own page
        # The fixtures come from where the page puts the file, which is the folder of this one.
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            "pyproject.toml",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.unit.conftest",
            file,
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:src|tests|migrations|docs)/[\w./-]*)`", PAGE)) - {"tests/unit/test_promotion.py"}

    assert len(named) > 20
    assert [each for each in named if not (REPOSITORY / each).exists()] == []


def test_every_name_it_tells_of_is_in_the_file_it_is_said_to_be_in() -> None:
    said = re.findall(r"`([\w.]+)`\s+(?:of|in)\s+`([\w/]+\.py)`", PAGE)

    assert len(said) > 4
    for name, file in said:
        assert name.rpartition(".")[2] in (REPOSITORY / file).read_text(), name


def test_what_keeps_its_name_is_where_it_says() -> None:
    rows = re.findall(r"^\|[^|]*?(`[^|]*) \| (`[^|]*) \|", PAGE.partition("## Rename")[2], re.MULTILINE)

    assert len(rows) == 7
    for names, files in rows:
        places = [REPOSITORY / place for place in re.findall("`(.*?)`", files)]
        text = "".join(place.read_text() for place in places if place.is_file())
        assert [name for name in re.findall("`(.*?)`", names) if name not in text] == []
