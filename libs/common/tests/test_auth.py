"""Access tokens: who can make one, how long it is good, and whose request it makes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from leadline_common.http.auth import Authentication, Tokens
from leadline_contracts.errors import Problem
from leadline_testing.tables import every_row

SECRET, OTHER = "3WkZ6mNQJ1yP0cT9rB8vXhLdF5gKaUe2", "o7YtR4eW2qA9sD6fG1hJ8kL3zX5cV0bN"
HOUR = timedelta(hours=1)
TOKENS = Tokens([SecretStr(SECRET)])


def now() -> datetime:
    return datetime.now(UTC)


def claims(**changes: Any) -> dict[str, Any]:
    """What a token of ours says; a claim that is None is left out."""
    whole = {"sub": "ann", "iat": now(), "exp": now() + HOUR, "iss": "leadline"} | changes
    return {name: value for name, value in whole.items() if value is not None}


def refused(token: str, tokens: Tokens = TOKENS) -> str:
    """Check that the token is refused with a 401 that says what to do; return what it says."""
    with pytest.raises(Problem) as raised:
        tokens.read(token)
    assert raised.value.status == 401
    assert "POST /auth/login" in raised.value.detail
    assert token not in raised.value.detail or not token
    return raised.value.detail


def test_a_token_says_who_it_was_signed_for() -> None:
    """A token is read back as its user's id by whoever has the secret."""
    assert Tokens([SecretStr(SECRET)]).read(TOKENS.sign("ann", now(), HOUR)) == "ann"


def test_a_token_ends() -> None:
    """It is good for its lifetime and half a minute more, since clocks differ, and then is not."""
    assert TOKENS.read(TOKENS.sign("ann", now() - HOUR - timedelta(seconds=20), HOUR)) == "ann"
    assert "expired" in refused(TOKENS.sign("ann", now() - HOUR - timedelta(seconds=40), HOUR))
    assert TOKENS.read(TOKENS.sign("ann", now() + timedelta(seconds=20), HOUR)) == "ann"
    refused(TOKENS.sign("ann", now() + timedelta(seconds=40), HOUR))


def test_secrets_are_rotated_without_logging_anybody_out() -> None:
    """The first secret signs, each verifies, and one that is dropped verifies no more."""
    old, both, new = (
        Tokens([SecretStr(each) for each in some]) for some in ([OTHER], [SECRET, OTHER], [SECRET])
    )
    before, after = old.sign("ann", now(), HOUR), both.sign("ann", now(), HOUR)
    assert both.read(before) == both.read(after) == new.read(after) == "ann"
    refused(before, new)
    refused(after, old)
    assert "expired" in refused(old.sign("ann", now() - 2 * HOUR, HOUR), both)


@pytest.mark.parametrize("missing", ["sub", "iat", "exp", "iss"])
def test_a_token_without_one_of_the_claims_is_refused(missing: str) -> None:
    """A token that never ends, or is nobody's, is refused though the signature is right."""
    refused(jwt.encode(claims(**{missing: None}), SECRET, algorithm="HS256"))


@every_row(
    "token",
    [
        jwt.encode(claims(), OTHER, algorithm="HS256"),
        jwt.encode(claims(), "", algorithm="none"),
        jwt.encode(claims(), SECRET + OTHER, algorithm="HS512"),
        jwt.encode(claims(iss="somebody"), SECRET, algorithm="HS256"),
        jwt.encode(claims(), SECRET, algorithm="HS256")[:-2],
        *("", "x", "a.b.c", "ä.ö.ü", "." * 10_000, "\x00"),
    ],
)
def test_what_we_have_not_signed_is_refused(token: str) -> None:
    """Another secret, another algorithm, none, another issuer, and what is no token at all: all are 401."""
    refused(token)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("open_to_all", [True, False])
def test_a_request_is_that_of_its_token(scheme: str, open_to_all: bool) -> None:
    """Whoever sends a token is that user, also where nobody has to."""
    header = f"{scheme} {TOKENS.sign('ann', now(), HOUR)}"
    assert Authentication(TOKENS, open_to_all=open_to_all).owner_of([header]) == "ann"


def test_a_request_without_a_token_is_local_or_refused() -> None:
    """Without a token one is the owner `local` where it is open to all, and nobody elsewhere."""
    assert Authentication(TOKENS, open_to_all=True).owner_of([]) == "local"
    with pytest.raises(Problem, match="Bearer TOKEN"):
        Authentication(TOKENS, open_to_all=False).owner_of([])


@every_row("open_to_all", [True, False])
@every_row(
    "headers",
    [["Bearer x"], ["Bearer "], ["Bearer"], [""], ["Basic YW5uOnB3"], ["TOKEN"], ["TOKEN", "Bearer TOKEN"]],
)
def test_a_wrong_header_is_refused_also_where_it_is_open_to_all(
    headers: list[str], open_to_all: bool
) -> None:
    """Who means to be somebody is never silently taken as somebody else, nor by one of two headers."""
    token = TOKENS.sign("ann", now(), HOUR)
    sent = [header.replace("TOKEN", token) for header in headers]
    with pytest.raises(Problem) as raised:
        Authentication(TOKENS, open_to_all=open_to_all).owner_of(sent)
    assert raised.value.status == 401


def test_the_secret_does_not_show() -> None:
    """Neither tokens nor what uses them show the secret when they are printed."""
    shown = f"{TOKENS!r} {vars(TOKENS)!r} {Authentication(TOKENS, open_to_all=False)!r}"
    assert SECRET not in shown
