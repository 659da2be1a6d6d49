"""Signing up and logging in: who is let in, how often one may try, and what nobody learns."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
import structlog
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from leadline_contracts.errors import Conflict, NotAuthenticated, Refused, TooMany
from leadline_ingest.accounts.passwords import Passwords
from leadline_ingest.accounts.service import Accounts, LogIn, SignUp, email_key
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import QUICK_HASHES, START, TOKENS

EMAIL, PASSWORD, WRONG = "Ann@Example.com", "correct horse", "battery staple"
HOME, AWAY = "1.1.1.1", "2.2.2.2"
MINUTE = timedelta(minutes=1)


class Door:
    """The accounts as their callers use them, and what they stand on."""

    def __init__(self, store: SqliteIngestStore, hashes: PasswordHash = QUICK_HASHES) -> None:
        self.store = store
        self.time = START
        self.accounts = Accounts(store, Passwords(hashes), TOKENS, timedelta(hours=12), lambda: self.time)

    async def sign_up(self, email: str = EMAIL, password: str = PASSWORD, address: str = HOME) -> str:
        """Make an account and return the user's id."""
        session = await self.accounts.sign_up(SignUp(email=email, password=SecretStr(password)), address)
        return session.user.id

    async def log_in(self, email: str = EMAIL, password: str = PASSWORD, address: str = HOME) -> str:
        """Log in and return the user's id."""
        session = await self.accounts.log_in(LogIn(email=email, password=SecretStr(password)), address)
        return session.user.id

    async def refusal(self, email: str = EMAIL, password: str = WRONG, address: str = HOME) -> Refused:
        """Fail to log in and return the reason."""
        with pytest.raises(Refused) as raised:
            await self.log_in(email, password, address)
        return raised.value


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteIngestStore]:
    """An empty store."""
    store = SqliteIngestStore(tmp_path / "ingest.db")
    yield store
    await store.close()


@pytest.fixture
def door(store: SqliteIngestStore) -> Door:
    """Accounts with passwords that are quick to check."""
    return Door(store)


@pytest.mark.parametrize("email", [EMAIL, "ann@example.com", "ANN@EXAMPLE.COM", "\uff41nn@example.com"])
async def test_an_account_is_its_email_however_it_is_written(door: Door, email: str) -> None:
    """Case and width of letters neither make a second account nor keep anybody out."""
    user_id = await door.sign_up()
    assert await door.log_in(email) == user_id
    with pytest.raises(Refused) as raised:
        await door.sign_up(email, "another password")
    assert isinstance(raised.value, Conflict)
    assert "POST /auth/login" in raised.value.detail
    assert await door.log_in() == user_id


def test_an_email_key_is_its_own_key() -> None:
    """Folding a folded email changes nothing, also where folding undoes the normal form."""
    for email in ("Ann@Example.com", "STRASSE@straße.de", "ΐ@x.gr", "ﬀ@x", "İ@x", "ᾳ\u0345@x"):
        assert email_key(email_key(email)) == email_key(email)
    assert email_key("STRASSE@x.de") == email_key("straße@x.de")


async def test_one_sign_up_of_many_at_once_is_kept(door: Door) -> None:
    """Two people who want the same email at the same time do not both get it."""
    signing_up = (door.sign_up(address=str(number)) for number in range(8))
    outcomes = await asyncio.gather(*signing_up, return_exceptions=True)
    [user_id] = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Refused)} == {Conflict}
    assert await door.log_in() == user_id


async def test_a_session_is_a_token_of_the_user(door: Door) -> None:
    """The token says whose it is and for how long it is good."""
    door.time = datetime.now(UTC)
    session = await door.accounts.sign_up(SignUp(email=EMAIL, password=SecretStr(PASSWORD)), HOME)
    assert TOKENS.read(session.access_token) == session.user.id
    assert (session.token_type, session.expires_in) == ("bearer", 12 * 3600)
    assert await door.accounts.profile(session.user.id) == session.user


async def test_unknown_email_and_wrong_password_are_refused_alike(door: Door) -> None:
    """Nothing in the answer tells whether an email has an account."""
    await door.sign_up()
    wrong, unknown = await door.refusal(), await door.refusal("nobody@example.com")
    assert isinstance(wrong, NotAuthenticated)
    assert vars(wrong) == vars(unknown)


async def test_unknown_email_and_wrong_password_take_the_same_time(store: SqliteIngestStore) -> None:
    """A password is hashed also where there is none to compare it with: in processor time they are alike."""
    door = Door(store, PasswordHash([Argon2Hasher(time_cost=2, memory_cost=32_768, parallelism=1)]))
    await door.sign_up()

    async def seconds(email: str) -> float:
        started = time.process_time()
        await door.refusal(email)
        return time.process_time() - started

    wrong, unknown = [], []
    for number in range(5):
        wrong.append(await seconds(EMAIL))
        unknown.append(await seconds(f"nobody{number}@example.com"))
    assert 0.5 < median(unknown) / median(wrong) < 2


async def test_a_password_is_taken_as_it_is(door: Door) -> None:
    """Spaces around it, its case and letters that look alike all count."""
    await door.sign_up(password="  Über 8 \x00 ")
    assert await door.log_in(password="  Über 8 \x00 ")
    for other in ("Über 8 \x00", "  über 8 \x00 ", "  U\u0308ber 8 \x00 ", ""):
        assert isinstance(await door.refusal(password=other), NotAuthenticated)


async def guesses(door: Door, email: str, address: str, minutes: int = 15) -> int:
    """Guess as often as one is let to in that time, waiting as one is told; return how often that is."""
    end, made = door.time + minutes * MINUTE, 0
    while door.time < end:
        refused = await door.refusal(email, address=address)
        if isinstance(refused, NotAuthenticated):
            made += 1
        else:
            door.time += timedelta(seconds=refused.retry_after or 0)
    return made


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_who_guesses_waits_longer_each_time(door: Door, email: str) -> None:
    """Five guesses are free, then pauses double; the same for an email without an account."""
    await door.sign_up()
    pauses: list[int | None] = []
    while len(pauses) < 6:
        refused = await door.refusal(email.upper())
        if isinstance(refused, TooMany):
            assert f"{refused.retry_after} seconds" in refused.detail
            pauses.append(refused.retry_after)
            door.time += timedelta(seconds=refused.retry_after or 0)
    assert pauses == [2, 4, 8, 16, 32, 64]
    assert await guesses(door, "other@example.com", AWAY) < 20


async def test_a_stranger_keeps_nobody_out(door: Door) -> None:
    """However long somebody guesses, the user logs in from anywhere else, also for the first time."""
    user_id = await door.sign_up()
    for _ in range(4):
        assert await guesses(door, EMAIL, AWAY) < 20
        assert await door.log_in() == user_id
        assert await door.log_in(address=str(door.time)) == user_id


async def test_a_refusal_is_not_held_against_who_was_refused(door: Door) -> None:
    """Hammering changes nothing: the pause ends when it was said to."""
    await door.sign_up()
    for _ in range(6):
        assert isinstance(await door.refusal(), NotAuthenticated)
    for _ in range(50):
        assert (await door.refusal()).retry_after == 2
    door.time += timedelta(seconds=2)
    assert await door.log_in()


async def test_guesses_from_everywhere_are_slowed_down_but_for_a_known_address(door: Door) -> None:
    """Ever new addresses share a pause of up to half a minute; the user's own address is free of it."""
    user_id = await door.sign_up()
    assert await door.log_in(address=HOME) == user_id
    started, made = door.time, 0
    while door.time < started + 15 * MINUTE:
        refused = await door.refusal(address=f"bot {made} {door.time}")
        made += isinstance(refused, NotAuthenticated)
        assert (refused.retry_after or 0) <= 30
        door.time += timedelta(seconds=refused.retry_after or 0)
        assert await door.log_in(address=HOME) == user_id
    assert made < 60
    assert isinstance(await door.refusal(address="another bot"), TooMany | NotAuthenticated)


async def test_an_address_tries_a_hundred_times_in_a_quarter_of_an_hour(door: Door) -> None:
    """One password tried on ever new emails ends; others are not concerned."""
    await door.sign_up()
    for number in range(100):
        assert isinstance(await door.refusal(f"user{number}@example.com"), NotAuthenticated)
    assert isinstance(await door.refusal(EMAIL, PASSWORD), TooMany)
    assert await door.log_in(address=AWAY)


async def test_guesses_at_the_same_time_are_all_counted(door: Door) -> None:
    """A burst tries no more passwords than the same guesses one after the other."""
    await door.sign_up()
    refusals = await asyncio.gather(*(door.refusal() for _ in range(30)))
    assert Counter(map(type, refusals)) == {NotAuthenticated: 6, TooMany: 24}
    refusals = await asyncio.gather(*(door.refusal(address=str(number)) for number in range(30)))
    assert Counter(map(type, refusals)) == {NotAuthenticated: 15, TooMany: 15}


async def test_a_limited_log_in_costs_no_hash(store: SqliteIngestStore) -> None:
    """Whoever is over the limit is refused before anything is computed for them."""
    door = Door(store, PasswordHash([Argon2Hasher(time_cost=2, memory_cost=32_768, parallelism=1)]))
    started = time.process_time()
    for _ in range(6):
        await door.refusal()
    hashing = time.process_time() - started
    started = time.process_time()
    for _ in range(6):
        assert isinstance(await door.refusal(), TooMany)
    assert time.process_time() - started < hashing / 2


async def test_log_ins_that_succeed_do_not_count(door: Door) -> None:
    """A program that logs in over and over is not kept out."""
    user_id = await door.sign_up()
    for _ in range(101):
        assert await door.log_in() == user_id


async def test_a_success_does_not_refill_what_others_have_used_up(door: Door) -> None:
    """Neither an account of one's own nor its owner's visits give more guesses at somebody else's."""
    await door.sign_up()
    await door.sign_up("mallory@example.com")
    for _ in range(5):
        await door.refusal()
    await door.log_in()
    assert isinstance(await door.refusal(), NotAuthenticated)
    assert isinstance(await door.refusal(), TooMany)
    for number in range(92):  # with six counted failures and one refusal before
        assert isinstance(await door.refusal(f"user{number}@example.com"), NotAuthenticated)
    await door.log_in("mallory@example.com")
    assert isinstance(await door.refusal("last@example.com"), NotAuthenticated)
    assert isinstance(await door.refusal("mallory@example.com", PASSWORD), TooMany)


async def test_an_address_signs_up_twenty_times_an_hour(door: Door) -> None:
    """Accounts are not made by the thousand, nor emails probed by signing up with them."""
    for number in range(10):
        await door.sign_up(f"user{number}@example.com")
        with pytest.raises(Refused, match="Email taken"):
            await door.sign_up(f"user{number}@example.com")
    with pytest.raises(Refused) as raised:
        await door.sign_up()
    assert (type(raised.value), raised.value.retry_after) == (TooMany, 3600)
    await door.sign_up(address=AWAY)
    door.time += 60 * MINUTE
    await door.sign_up("later@example.com")


async def test_a_hash_is_made_anew_where_hashes_have_become_stronger(store: SqliteIngestStore) -> None:
    """Logging in, and nothing less, brings an old hash up to date; the password stays."""
    user_id = await Door(store).sign_up()
    old = await store.user(user_id)
    assert old is not None
    stronger = Door(store, PasswordHash([Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1)]))
    await stronger.refusal()
    assert await store.user(user_id) == old
    await stronger.log_in()
    new = await store.user(user_id)
    assert new is not None
    assert "m=16,t=2" in new.password_hash
    assert await stronger.log_in() == await Door(store).log_in() == user_id


async def test_passwords_are_hashed_beside_the_event_loop(store: SqliteIngestStore) -> None:
    """While many people log in, other requests go on."""
    door = Door(store, PasswordHash([Argon2Hasher(time_cost=2, memory_cost=32_768, parallelism=1)]))
    logging_in = asyncio.gather(*(door.refusal(f"user{number}@example.com") for number in range(20)))
    longest = 0.0
    while not logging_in.done():
        started = time.thread_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.thread_time() - started)
    assert {type(refusal) for refusal in logging_in.result()} == {NotAuthenticated}
    assert longest < 0.25


async def test_neither_passwords_nor_emails_are_logged_or_shown(door: Door) -> None:
    """What is printed or logged of accounts names ids alone."""
    with structlog.testing.capture_logs() as entries:
        user_id = await door.sign_up()
        await door.log_in()
        refusals = [await door.refusal() for _ in range(7)]
    user = await door.store.user(user_id)
    assert user is not None
    wanted = SignUp(email=EMAIL, password=SecretStr(PASSWORD))
    session = await door.accounts.sign_up(SignUp(email="b@b.de", password=SecretStr(PASSWORD)), HOME)
    shown = f"{wanted!r} {wanted} {user!r} {session!r} {LogIn(**dict(wanted))!r} {entries}"
    assert PASSWORD not in shown
    assert user.password_hash not in shown
    assert session.access_token not in shown
    assert [entry["event"] for entry in entries] == ["user_signed_up", "attempts_limited"]
    assert EMAIL not in f"{entries} {refusals}"
