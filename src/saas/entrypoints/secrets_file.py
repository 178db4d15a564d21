"""Secrets for development, generated once and kept in the data directory, so that nothing has to be configured."""

import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


class SecretsFileError(Exception):
    """The file can be neither read nor created. The message continues a sentence after the directory's name."""


@dataclass(frozen=True, slots=True)
class GeneratedSecrets:
    """Signing secrets that were generated."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


def generated_secrets(data_dir: Path) -> GeneratedSecrets:
    """The secrets in `<data_dir>/secrets.json`. The first call creates the file; every process gets the same secrets.

    Only its owner can read the file, and no process sees it half written. Raises `SecretsFileError`.
    """
    path = data_dir / "secrets.json"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        content = json.loads(path.read_bytes())
        return GeneratedSecrets(access=_secret(content["access"]), refresh=_secret(content["refresh"]))
    except FileExistsError as error:
        raise SecretsFileError("which exists and is no directory. Set it to a directory of yours.") from error
    except OSError as error:
        message = f"which cannot be written: {error.strerror}. Set it to a directory of yours."
        raise SecretsFileError(message) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SecretsFileError(f"where {path} is damaged. Delete it to sign everybody out and start afresh.") from error


def _create(path: Path) -> None:
    """Create the file. Linking fails when the name exists, so that two processes that race use the same file."""
    content = json.dumps({"access": secrets.token_urlsafe(48), "refresh": secrets.token_urlsafe(48)})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix="secrets-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value
