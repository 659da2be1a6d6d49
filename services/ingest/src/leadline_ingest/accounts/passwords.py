"""Password hashes (argon2id), made and checked in threads beside the event loop."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pwdlib import PasswordHash
from pydantic import SecretStr

_WORKERS = 2
"""Hashes at a time. Each takes 64 MiB and a core for a good part of a tenth of a second; others wait."""


class Checked(NamedTuple):
    """Whether a password was right; if so, a new hash where the old one was made with older parameters."""

    right: bool
    new_hash: str | None


class Passwords:
    """Hashes and checks passwords, a few at a time, so that many requests cannot use up the machine."""

    def __init__(self, hashes: PasswordHash) -> None:
        self._hashes = hashes
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="password")
        self._nobodys = hashes.hash(secrets.token_hex())

    async def hash(self, password: SecretStr) -> str:
        """Return a hash of the password, with a salt of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._hashes.hash, password.get_secret_value())

    async def check(self, password: SecretStr, known: str | None) -> Checked:
        """Check the password against a hash; without one it is wrong, after the same time."""
        loop = asyncio.get_running_loop()
        checked = await loop.run_in_executor(
            self._pool, self._hashes.verify_and_update, password.get_secret_value(), known or self._nobodys
        )
        return Checked(*checked)
