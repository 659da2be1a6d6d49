"""Signing up and logging in."""

import unicodedata
from datetime import datetime, timedelta
from typing import Annotated, Literal

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from leadline_common.clock import Clock
from leadline_common.http.auth import Tokens, not_authenticated
from leadline_common.ids import new_id
from leadline_contracts.envelope import Wire
from leadline_contracts.errors import Conflict, NotAuthenticated
from leadline_ingest.accounts.passwords import Passwords
from leadline_ingest.accounts.store import AccountStore, User
from leadline_ingest.accounts.throttle import (
    SIGNUPS_FROM_ADDRESS,
    count,
    count_login,
    note_login,
)

log = structlog.get_logger()


def email_key(email: str) -> str:
    """Return what all spellings of an email have in common: compatibility form (NFKC), case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def _email(email: str) -> str:
    plain = unicodedata.normalize("NFKC", email)
    if any(letter.isspace() or unicodedata.category(letter).startswith("C") for letter in plain):
        raise ValueError("must have no spaces or control characters")
    name, at, domain = plain.partition("@")
    if not (name and at and domain) or "@" in domain:
        raise ValueError("must be an email address, like name@example.com")
    return email


Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
"""An address as SMTP can carry it (RFC 5321 allows 254 characters); whether mail arrives is not asked."""


def _long_enough(password: object) -> object:
    """Check the length with an error text of our own: pydantic's says that a password has items."""
    if isinstance(password, str) and not 8 <= len(password) <= 200:
        raise ValueError("must have 8 to 200 characters")
    return password


class SignUp(Wire):
    """The body of a sign-up. The password is taken as it is, spaces included."""

    email: Email
    password: Annotated[SecretStr, Field(min_length=8, max_length=200), BeforeValidator(_long_enough)]


class LogIn(Wire):
    """The body of a log-in."""

    email: Email
    password: SecretStr


class Profile(Wire):
    """A user, as they see themselves."""

    id: str
    email: str
    created_at: datetime


class Session(Wire):
    """An access token, for how many seconds it is valid, and whose it is."""

    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - its kind, not the token
    expires_in: int
    user: Profile


class Accounts:
    """Signs users up and logs them in. Only a sign-up reveals that an email has an account.

    Nothing else that a caller can see or measure does.
    """

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        tokens: Tokens,
        lifetime: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._tokens = tokens
        self._lifetime = lifetime
        self._clock = clock

    async def sign_up(self, wanted: SignUp, address: str) -> Session:
        """Make an account and log in.

        Raises Conflict where the email is taken, TooMany where too many were made from this address.
        """
        await count(self._store, SIGNUPS_FROM_ADDRESS, address, self._clock())
        user = User(
            id=new_id(),
            email=wanted.email,
            email_key=email_key(wanted.email),
            password_hash=await self._passwords.hash(wanted.password),
            created_at=self._clock(),
        )
        if not await self._store.add_user(user):
            raise Conflict("Email taken", "There is an account with this email; use POST /auth/login for it.")
        log.info("user_signed_up", user_id=user.id)
        return self._session(user)

    async def log_in(self, given: LogIn, address: str) -> Session:
        """Return a session of the user.

        Raises NotAuthenticated where email or password is wrong, TooMany where too many attempts failed.
        """
        key, now = email_key(given.email), self._clock()
        taken = await count_login(self._store, key, address, now)
        user = await self._store.user_by_email(key)
        checked = await self._passwords.check(given.password, user.password_hash if user else None)
        if user is None or not checked.right:
            raise NotAuthenticated(
                "Not authenticated",
                "Email or password is wrong. Correct them, or make an account with POST /auth/signup.",
            )
        await note_login(self._store, key, address, taken, now)
        if checked.new_hash is not None:
            await self._store.replace_hash(user.id, user.password_hash, checked.new_hash)
        return self._session(user)

    async def profile(self, owner: str) -> Profile:
        """Return the user. Raises Problem (401) for an owner that has no account."""
        user = await self._store.user(owner)
        if user is None:
            raise not_authenticated("The request is not that of an account.")
        return _profile(user)

    def _session(self, user: User) -> Session:
        token = self._tokens.sign(user.id, self._clock(), self._lifetime)
        return Session(
            access_token=token, expires_in=int(self._lifetime.total_seconds()), user=_profile(user)
        )


def _profile(user: User) -> Profile:
    return Profile(id=user.id, email=user.email, created_at=user.created_at)
