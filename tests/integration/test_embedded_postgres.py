import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from saas.adapters.embedded_postgres import WATCH_SECONDS, EmbeddedPostgresError, embedded_postgres

SRC = Path(__file__).parents[2] / "src"

USE = """
import signal, sys
from pathlib import Path
from saas.adapters.embedded_postgres import embedded_postgres

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
with embedded_postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""

COME_AND_GO = """
import asyncio, asyncpg, sys
from pathlib import Path
from saas.adapters.embedded_postgres import embedded_postgres

async def count(url):
    connection = await asyncpg.connect(url)
    await connection.execute("insert into visits values (now())")
    await connection.close()

for _ in range(int(sys.argv[2])):
    with embedded_postgres(Path(sys.argv[1])) as url:
        asyncio.run(count(url))
"""


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - the scripts above
        (sys.executable, "-c", script, *map(str, arguments)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        start_new_session=True,
        text=True,
    )


def stranger_with_the_account_of(path: Path) -> subprocess.Popen[bytes]:
    account = path.stat().st_uid
    return subprocess.Popen(("/bin/sleep", "60"), user=None if account == os.geteuid() else account)


@contextmanager
def another_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the server in use; leaving the block lets it leave first."""
    with python(USE, data_dir) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("postgresql://")
        try:
            yield process
        finally:
            process.communicate("")


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


def is_up(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "cluster" / ".s.PGSQL.5432").exists()


def is_private(directory: Path) -> bool:
    return directory.exists() and directory.stat().st_mode & 0o077 == 0


async def ask(url: str, *statements: str) -> object:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    async with engine.connect() as connection:
        results = [await connection.execute(text(statement)) for statement in statements]
        return results[-1].scalar() if results[-1].returns_rows else None


async def answer(url: str, statement: str) -> object:
    """As `ask`, but None while nobody answers."""
    try:
        return await ask(url, statement)
    except (OSError, DBAPIError):
        return None


async def test_data_survives_a_restart_of_a_server_that_stops_with_the_block(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        await ask(url, "create table kept (word text)", "insert into kept values ('here')")
        assert is_up(tmp_path)
    assert not is_up(tmp_path)

    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select word || ' in ' || current_database() from kept") == "here in saas"


async def test_it_stops_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded_postgres(tmp_path):
        _ = 1 / 0

    assert not is_up(tmp_path)


async def test_a_dropped_database_is_made_again(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        await ask(url.replace("/saas?", "/postgres?"), "drop database saas")

    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select 1") == 1


async def test_the_last_one_out_stops_it(tmp_path: Path) -> None:
    with ExitStack() as ours:
        with another_process(tmp_path):
            url = ours.enter_context(embedded_postgres(tmp_path))
        assert await ask(url, "select 1") == 1

    assert not is_up(tmp_path)


async def test_a_killed_process_leaves_a_server_that_the_next_one_takes_over_and_stops(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        left_behind = postmaster(tmp_path)
        other.kill()

    with embedded_postgres(tmp_path) as url:
        assert postmaster(tmp_path) == left_behind
        assert await ask(url, "select 1") == 1
    assert not is_up(tmp_path)


async def test_a_killed_server_comes_back_with_what_was_committed(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        await ask(url, "create table kept (word text)", "insert into kept values ('here')")
        os.kill(postmaster(tmp_path), signal.SIGKILL)

    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select word from kept") == "here"


async def test_a_server_that_dies_in_the_block_comes_back_under_the_same_url(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with embedded_postgres(tmp_path) as url, another_process(tmp_path):
        assert "watch-postgres" in {thread.name for thread in set(threading.enumerate()) - before}
        await ask(url, "create table kept (word text)", "insert into kept values ('here')")
        for _ in range(2):
            os.kill(postmaster(tmp_path), signal.SIGKILL)
            async with asyncio.timeout(60):
                while await answer(url, "select word from kept") != "here":  # noqa: ASYNC110 - it sets no Event
                    await asyncio.sleep(0.1)

    assert not is_up(tmp_path)
    assert "watch-postgres" not in {thread.name for thread in set(threading.enumerate()) - before}


async def test_a_cluster_that_was_deleted_while_it_served_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path):
        os.kill(postmaster(tmp_path), signal.SIGKILL)
        shutil.rmtree(tmp_path / "postgres" / "cluster", ignore_errors=True)
        await asyncio.sleep(3 * WATCH_SECONDS)

        assert not is_up(tmp_path)


async def test_a_recycled_process_id_is_neither_believed_nor_signalled(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path):
        pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
        content = pid_file.read_text()
        os.kill(postmaster(tmp_path), signal.SIGKILL)

    with stranger_with_the_account_of(pid_file) as stranger:
        pid_file.write_text(content.replace(content.split()[0], str(stranger.pid), 1))
        (pid_file.parent / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")

        with embedded_postgres(tmp_path) as url:
            assert await ask(url, "select 1") == 1

        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("remains", ["", "4711\n", "garbage"])
async def test_a_torn_pid_file_is_no_obstacle(tmp_path: Path, remains: str) -> None:
    with embedded_postgres(tmp_path):
        pass
    (tmp_path / "postgres" / "cluster" / "postmaster.pid").write_text(remains)

    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select 1") == 1


async def test_a_cluster_that_was_never_finished_is_made_afresh(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "cluster.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select 1") == 1
    assert not unfinished.exists()


async def test_processes_that_come_and_go_at_once_never_find_it_gone(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        await ask(url, "create table visits (at timestamptz)")

    crowd = [python(COME_AND_GO, tmp_path, 4) for _ in range(5)]
    for process in crowd:
        await asyncio.to_thread(process.communicate)

    assert [process.returncode for process in crowd] == [0] * 5
    assert not is_up(tmp_path)
    with embedded_postgres(tmp_path) as url:
        assert await ask(url, "select count(*) from visits") == 20


async def test_ctrl_c_in_the_terminal_reaches_the_process_but_not_the_server(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url, another_process(tmp_path) as other:
        server = postmaster(tmp_path)
        assert os.getsid(server) not in {os.getsid(0), os.getsid(other.pid)}
        os.killpg(other.pid, signal.SIGINT)
        other.wait(30)

        assert await ask(url, "select 1") == 1
        assert postmaster(tmp_path) == server


@pytest.mark.parametrize("name", ['a dir\'s, "odd" $name & 100%', "long" * 40])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    with embedded_postgres(tmp_path / name) as url:
        assert await ask(url, "select 1") == 1
        socket_dir = Path(make_url(url).query["host"])  # type: ignore[arg-type] # given once
        assert is_private(socket_dir)

    assert not is_private(socket_dir)


async def test_only_its_owner_can_reach_the_server(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as url:
        assert is_private(tmp_path / "postgres" / "cluster")
        assert await ask(url, "show listen_addresses") == ""


async def test_a_broken_cluster_is_reported_in_one_line_with_its_log(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path):
        pass
    (tmp_path / "postgres" / "cluster" / "postgresql.conf").write_text("no such setting = 1\n")

    started = time.monotonic()
    with pytest.raises(EmbeddedPostgresError, match=r"FATAL.*configuration file.*postgres/log") as refusal:
        embedded_postgres(tmp_path).__enter__()
    assert "\n" not in str(refusal.value)
    assert time.monotonic() - started < 10
