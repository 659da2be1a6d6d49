"""The throttle of log-ins and sign-ups, against guessed passwords and accounts made by the thousand.

An attempt counts from before its password is checked until it has succeeded. So attempts made at the same
time are all counted, and a success gives back its own alone: who has an account cannot refill the count of
an address, nor does a user's log-in refill that of somebody who guesses at the same time. An email is counted
whether or not it has an account.

Who guesses an email's password waits longer after each failure, and keeps only those out who come from the
same address. Where guesses come from many addresses, all are slowed down together, a little; but not an
address from which that email was logged in with of late.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import structlog

from leadline_common.ids import derived_id
from leadline_contracts.errors import TooMany
from leadline_ingest.accounts.store import AccountStore, Attempt

log = structlog.get_logger()

_QUARTER = timedelta(minutes=15)
_KNOWN = timedelta(days=30)
"""How long an address is remembered from which a log-in succeeded."""
_UNLIMITED = 1_000_000_000


class Limit(NamedTuple):
    """At most `most` attempts within `window`; `said` names the attempts in the error text."""

    name: str
    most: int
    window: timedelta
    said: str


class Delay(NamedTuple):
    """So many attempts within a quarter of an hour are free; then each is followed by a pause.

    It lasts two seconds and doubles with each attempt, up to the longest.
    """

    name: str
    free: int
    longest: timedelta
    said: str

    def after(self, count: int) -> timedelta:
        """Return the pause after that many attempts."""
        return min(timedelta(seconds=2 ** min(count - self.free, 30)), self.longest)


class Taken(NamedTuple):
    """An attempt that was counted, and under what."""

    key: str
    attempt: Attempt


LOGINS_FROM_ADDRESS = Limit("login_address", 100, _QUARTER, "failed log-ins from your address")
SIGNUPS_FROM_ADDRESS = Limit("signup_address", 20, timedelta(hours=1), "sign-ups from your address")
LOGINS_OF_PAIR = Delay("login_pair", 5, timedelta(minutes=5), "failed log-ins with this email")
LOGINS_OF_EMAIL = Delay("login_email", 20, timedelta(seconds=30), "failed log-ins with this email")


async def count(store: AccountStore, limit: Limit, who: str, now: datetime) -> list[Taken]:
    """Count an attempt. Raises TooMany where there were too many."""
    key = f"{limit.name}:{who}"
    attempt = await store.count_attempt(key, limit.most, now, limit.window)
    if not attempt.counted:
        raise _too_many(limit, attempt.until - now)
    return [Taken(key, attempt)]


async def count_login(store: AccountStore, email: str, address: str, now: datetime) -> list[Taken]:
    """Count an attempt to log in. Raises TooMany where it comes from such an address, or too soon."""
    pair = _pair(email, address)
    taken = await count(store, LOGINS_FROM_ADDRESS, address, now)
    taken += await _count_with_pauses(store, LOGINS_OF_PAIR, pair, now)
    if await store.attempts(_known(pair), now):
        return taken
    try:
        return taken + await _count_with_pauses(store, LOGINS_OF_EMAIL, email, now)
    except TooMany:  # others brought that about
        await uncount(store, taken)
        raise


async def note_login(
    store: AccountStore, email: str, address: str, taken: Iterable[Taken], now: datetime
) -> None:
    """Count an attempt that has succeeded no longer, and remember where it came from."""
    await uncount(store, taken)
    await store.count_attempt(_known(_pair(email, address)), 1, now, _KNOWN)


async def uncount(store: AccountStore, taken: Iterable[Taken]) -> None:
    """Count these attempts no longer."""
    for key, attempt in taken:
        await store.uncount_attempt(key, attempt)


async def _count_with_pauses(store: AccountStore, delay: Delay, who: str, now: datetime) -> list[Taken]:
    """Count an attempt; once the free ones are used up, one is let in for each pause."""
    key = f"{delay.name}:{who}"
    taken = Taken(key, await store.count_attempt(key, _UNLIMITED, now, _QUARTER))
    if taken.attempt.total <= delay.free:
        return [taken]
    pause = f"{delay.name}_pause:{who}"
    begun = await store.count_attempt(pause, 1, now, delay.after(taken.attempt.total))
    if not begun.counted:
        await store.uncount_attempt(*taken)
        raise _too_many(delay, begun.until - now)
    return [taken, Taken(pause, begun)]


def _too_many(limit: Limit | Delay, wait: timedelta) -> TooMany:
    log.warning("attempts_limited", limit=limit.name)
    seconds = max(1, ceil(wait.total_seconds()))
    detail = f"There were too many {limit.said}; try again in {seconds} seconds."
    return TooMany("Too many attempts", detail, retry_after=seconds)


def _pair(email: str, address: str) -> str:
    """Return what stands for an email and an address, without showing either."""
    return derived_id("login", email, address)


def _known(pair: str) -> str:
    return f"login_known:{pair}"
