"""The port to the accounts: who has one, and how often somebody has tried to get in."""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import Field

from leadline_contracts.envelope import Wire


class User(Wire):
    """Somebody with an account; their id is the owner of all that is theirs.

    `email` is as they wrote it, `email_key` what all spellings of it have in common.
    """

    id: str
    email: str
    email_key: str
    password_hash: str = Field(repr=False)
    created_at: datetime


class Attempt(NamedTuple):
    """One try: whether it was within the limit and counted, and when the count ends and starts anew."""

    counted: bool
    until: datetime


class AccountStore(Protocol):
    """Durable and shared by every replica of the service. Every method raises Unavailable."""

    async def add_user(self, user: User) -> bool:
        """Keep a user; False, changing nothing, where there is one with this email key."""

    async def user(self, user_id: str) -> User | None:
        """Return a user."""

    async def user_by_email(self, email_key: str) -> User | None:
        """Return the one user with this email key."""

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        """Change a user's password hash, where it is still the old one."""

    async def count_attempt(self, key: str, limit: int, now: datetime, window: timedelta) -> Attempt:
        """Count one more attempt under the key, unless so many are counted already.

        The first one starts a count that ends after the window; from then on the next is a first one. However
        many ask at the same time, no more than the limit are counted.
        """

    async def uncount_attempt(self, key: str, attempt: Attempt) -> None:
        """Count a counted attempt no longer; nothing happens where its count has ended."""
