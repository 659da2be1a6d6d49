"""The secret that signs the tokens of a data directory."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from leadline_common.http.auth import MIN_SECRET_BYTES
from leadline_contracts.errors import SettingsError

_NAME = "jwt-secret"


def kept_secret(data_dir: Path) -> SecretStr:
    """Return the secret in the data directory, made where there is none; only its user may read the file.

    Call it while the directory is locked. Raises SettingsError where the file cannot be used.
    """
    path = data_dir / _NAME
    try:
        if not path.exists():
            _write(path, secrets.token_urlsafe(48))
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be used: {error}") from None
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{path} holds less than {MIN_SECRET_BYTES} bytes; delete it, and the next start makes a new one"
        )
    return SecretStr(secret)


def _write(path: Path, secret: str) -> None:
    """Write the file atomically: it is complete or absent, whenever the process is killed."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
