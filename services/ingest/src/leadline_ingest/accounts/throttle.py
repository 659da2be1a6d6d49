"""The throttle of log-ins and sign-ups, against guessed passwords and accounts made by the thousand.

An attempt is counted before its password is checked, and uncounted once it has succeeded. So attempts made at
the same time are all counted, and a success takes back only its own: nobody can reset the count of an address
by logging in to an account of theirs, nor does a user's log-in reset the count of somebody who guesses at the
same time. An email is counted whether or not it has an account. Enough failed attempts lock its user out as
well, until the count ends.
"""

from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import structlog

from leadline_contracts.errors import TooMany
from leadline_ingest.accounts.store import AccountStore, Attempt

log = structlog.get_logger()


class Limit(NamedTuple):
    """At most `most` attempts within `window`; `said` names the attempts in the error text."""

    name: str
    most: int
    window: timedelta
    said: str


_QUARTER = timedelta(minutes=15)
LOGINS_FROM_ADDRESS = Limit("login_address", 100, _QUARTER, "failed log-ins from your address")
LOGINS_OF_EMAIL = Limit("login_email", 10, _QUARTER, "failed log-ins with this email")
SIGNUPS_FROM_ADDRESS = Limit("signup_address", 20, timedelta(hours=1), "sign-ups from your address")


async def count(store: AccountStore, limit: Limit, who: str, now: datetime) -> Attempt:
    """Count an attempt. Raises TooMany where there were too many."""
    attempt = await store.count_attempt(_key(limit, who), limit.most, now, limit.window)
    if not attempt.counted:
        log.warning("attempts_limited", limit=limit.name)
        seconds = max(1, ceil((attempt.until - now).total_seconds()))
        raise TooMany(
            "Too many attempts",
            f"There were too many {limit.said}; try again in {seconds} seconds.",
            retry_after=seconds,
        )
    return attempt


async def uncount(store: AccountStore, limit: Limit, who: str, attempt: Attempt) -> None:
    """Take an attempt that has succeeded out of the count."""
    await store.uncount_attempt(_key(limit, who), attempt)


def _key(limit: Limit, who: str) -> str:
    return f"{limit.name}:{who}"
