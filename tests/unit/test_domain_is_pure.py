"""The fence around the domain: the standard library and itself, and nothing in there that tells time or rolls dice."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import saas.domain

MODULES = sorted(Path(saas.domain.__file__).parent.glob("**/*.py"))
IMPURE_MODULES = {"asyncio", "io", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid7", "open", "print", "input"}


def imports() -> Iterator[tuple[str, str]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, "." * node.level + (node.module or "")


def calls() -> Iterator[tuple[str, str]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield path.name, name


def test_there_is_something_to_check() -> None:
    assert {"organisations.py", "sessions.py", "values.py"} <= {path.name for path in MODULES}
    assert len(list(imports())) > len(MODULES)
    assert len(list(calls())) > len(MODULES)


def test_the_domain_imports_the_standard_library_and_itself() -> None:
    allowed = sys.stdlib_module_names | {"saas"}
    strangers = [
        (where, module)
        for where, module in imports()
        if module.split(".")[0] not in allowed or (module.startswith("saas") and not module.startswith("saas.domain"))
    ]

    assert strangers == []


def test_the_domain_has_no_io_no_clock_and_no_randomness() -> None:
    impure = [(where, module) for where, module in imports() if module.split(".")[0] in IMPURE_MODULES]
    impure += [(where, name) for where, name in calls() if name in IMPURE_CALLS]

    assert impure == []
