"""The `saas` command: `saas serve` and `saas migrate`."""

import argparse
import logging.config
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version

from saas.adapters.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from saas.entrypoints import logs
from saas.entrypoints.composition import MigrationError, current_revision, migrate
from saas.entrypoints.server import CannotListenError, reserved, run, server_config
from saas.entrypoints.settings import Environment, Settings, SettingsError

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0 when it completed or was stopped, 1 when it failed, 2 when it was called wrongly.

    Errors of our own are shown in one line, without a traceback; any other is a defect and keeps its traceback.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        logging.config.dictConfig(logs.config(machine_readable=settings.environment is Environment.PRODUCTION))
        with _stoppable():
            return _serve(settings, options) if options.command == "serve" else _migrate(settings, options)
    except SettingsError as error:
        return _refuse(str(error), 2)
    except KeyboardInterrupt:
        return 0 if options.command == "serve" else 130
    except (CannotListenError, EmbeddedPostgresError, MigrationError) as error:
        return _refuse(logs.redact(str(error)), 1)


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    is_production = settings.environment is Environment.PRODUCTION
    host: str = options.host or ("0.0.0.0" if is_production else "127.0.0.1")  # noqa: S104 - published ports need it
    port: int = settings.port if options.port is None else options.port
    with reserved(host, port) as listener, _database(settings) as complete:
        migrate(complete)
        # The app, in this process or in workers, reads its settings from the environment again.
        os.environ |= {"DATABASE_URL": complete.database_url or "", "PORT": str(listener.getsockname()[1])}
        return run(server_config(complete, host=host, port=port, workers=options.workers), listener)


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    with _database(settings) as complete:
        migrate(complete, options.revision)
        logger.info("The database is at %s.", current_revision(complete))
    return 0


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"saas: {message}\n")
    return code


@contextmanager
def _database(settings: Settings) -> Iterator[Settings]:
    """The settings with a database URL; if none was given, an embedded server runs while in the block."""
    if settings.database_url:
        yield settings
    else:
        with embedded_postgres(settings.data_dir) as url:
            yield replace(settings, database_url=url)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP (the terminal was closed) like Ctrl-C, so that the processes we started are stopped."""
    originals = {signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler)}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        originals[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        for number, original in originals.items():
            signal.signal(number, original)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="saas", description="A self-hosted multi-tenant SaaS backend.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('saas')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="bring the database up to date, then serve the API")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1; in production 0.0.0.0)")
    serve.add_argument("--port", type=_port, help="port to listen on (default: PORT or 3000; 0 takes a free one)")
    serve.add_argument("--workers", type=_positive, default=1, metavar="N", help="number of processes (default: 1)")
    migrate_command = commands.add_parser("migrate", help="bring the database to a revision")
    migrate_command.add_argument(
        "revision", nargs="?", default="head", metavar="REVISION", help="head (the default), base, -1, +1 or an id"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # noqa: PLR2004 - what TCP has
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 or more")
    return int(text)
