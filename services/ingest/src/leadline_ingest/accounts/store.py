"""The port to the accounts: users, and counts of attempts to sign up or log in."""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import Field

from leadline_contracts.envelope import Wire


class User(Wire):
    """A person with an account; the id is the owner of all their data.

    `email` is as they wrote it, `email_key` what all spellings of it have in common.
    """

    id: str
    email: str
    email_key: str
    password_hash: str = Field(repr=False)
    created_at: datetime


class Attempt(NamedTuple):
    """One try: whether it was within the limit and counted, and when the count ends and starts anew.

    `total` is how many are counted by then, this one among them where it is.
    """

    counted: bool
    until: datetime
    total: int


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

        The first attempt starts a count that ends after the window; the next one after that starts another.
        However many calls come at the same time, no more than the limit are counted.
        """

    async def attempts(self, key: str, now: datetime) -> int:
        """Return how many attempts are counted under the key; 0 where its count has ended."""

    async def uncount_attempt(self, key: str, attempt: Attempt) -> None:
        """Count a counted attempt no longer; nothing happens where its count has ended."""
