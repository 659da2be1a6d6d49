"""The routes of an account over HTTP, through the whole application."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from litestar.types import ASGIApp

from leadline_common.http.server import serving
from leadline_testing.tables import every_row

from .builders import CLOSED, TOKENS, House, house

EMAIL, PASSWORD = "Ann@Example.com", "correct horse"
ANN = {"email": EMAIL, "password": PASSWORD}


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[House]:
    """The service, which lets in who sends a token."""
    async with house(tmp_path, CLOSED) as opened:
        yield opened


@pytest.fixture
async def client(closed: House) -> AsyncIterator[AsyncClient]:
    """A client of the service."""
    async with client_of(closed.app) as opened:
        yield opened


def client_of(app: ASGIApp) -> AsyncClient:
    """A client in one event loop with the application."""
    transport = ASGITransport(app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://localhost", timeout=30)


def fields(refused: Response) -> dict[str, str]:
    """Return what is said of each wrong field."""
    assert refused.status_code == 422
    return {error["field"]: error["message"] for error in refused.json()["errors"]}


async def test_signing_up_and_logging_in_answer_a_token(client: AsyncClient) -> None:
    """Both answer the same shape, which no cache keeps, and the token in it opens what is closed."""
    signed_up = await client.post("/auth/signup", json=ANN)
    logged_in = await client.post("/auth/login", json={**ANN, "email": "ann@example.COM"})
    assert (signed_up.status_code, logged_in.status_code) == (201, 200)
    for answer in (signed_up, logged_in):
        assert answer.headers["cache-control"] == "no-store"
        session: dict[str, Any] = answer.json()
        assert (session["token_type"], session["expires_in"]) == ("bearer", 3600)
        assert session["user"].keys() == {"id", "email", "created_at"}
        assert session["user"]["email"] == EMAIL
        age = datetime.now(UTC) - datetime.fromisoformat(session["user"]["created_at"])
        assert 0 <= age.total_seconds() < 60
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert (await client.get("/auth/me", headers=headers)).json() == session["user"]
        assert (await client.post("/offer", json={"name": "Mine"}, headers=headers)).status_code == 201


async def test_what_is_refused_says_why(client: AsyncClient) -> None:
    """A taken email is a conflict, a wrong password is not authenticated, each with what to do."""
    await client.post("/auth/signup", json=ANN)
    taken = await client.post("/auth/signup", json={"email": "ANN@example.com", "password": "longer, longer"})
    assert (taken.status_code, taken.json()["title"]) == (409, "Email taken")
    wrong = await client.post("/auth/login", json={**ANN, "password": "wrong"})
    unknown = await client.post("/auth/login", json={**ANN, "email": "bob@example.com"})
    assert wrong.status_code == 401
    assert wrong.headers == unknown.headers
    assert {**wrong.json(), "trace_id": ""} == {**unknown.json(), "trace_id": ""}
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert "POST /auth/signup" in wrong.json()["detail"]


@every_row(
    "email",
    [
        *(
            "",
            "ann",
            "@",
            "ann@",
            "@example.com",
            "ann@b@example.com",
            "ann@example.com\n",
            " ann@example.com",
        ),
        *(
            "an n@example.com",
            "ann@exa\u3000mple.com",
            "ann\u0000@x",
            "ann\u200b@x",
            "ann\uff20b@x",
            f"{'a' * 253}@b",
        ),
        *(None, 3, ["ann@example.com"]),
    ],
)
@every_row("path", ["/auth/signup", "/auth/login"])
async def test_what_is_no_email_is_named(client: AsyncClient, path: str, email: object) -> None:
    """The field is named with what it should be, before anything is counted or computed."""
    refused = await client.post(path, json={"email": email, "password": PASSWORD})
    assert fields(refused).keys() == {"email"}


@pytest.mark.parametrize("password", ["", "1234567", "x" * 201, "😀" * 7, 12345678, None])
async def test_a_bad_password_is_named_and_not_quoted(client: AsyncClient, password: object) -> None:
    """Signing up takes 8 to 200 characters; the refusal says so without the password."""
    refused = await client.post("/auth/signup", json={"email": EMAIL, "password": password})
    said = fields(refused)
    assert said.keys() == {"password"}
    assert "8 to 200 characters" in said["password"] or not isinstance(password, str)
    assert not password or str(password) not in refused.text


@pytest.mark.parametrize("password", ["12345678", "x" * 200, "😀" * 8, " " * 8])
async def test_the_bounds_of_a_password_are_within(client: AsyncClient, password: str) -> None:
    """Any 8 to 200 characters will do, and open the account again."""
    given = {"email": EMAIL, "password": password}
    assert (await client.post("/auth/signup", json=given)).status_code == 201
    assert (await client.post("/auth/login", json=given)).status_code == 200


async def test_a_password_too_short_to_be_one_is_wrong_like_any_other(client: AsyncClient) -> None:
    """Logging in has no rules for passwords that tell more than right or wrong."""
    await client.post("/auth/signup", json=ANN)
    for password in ("", "x", "x" * 10_000):
        assert (await client.post("/auth/login", json={**ANN, "password": password})).status_code == 401


async def test_missing_fields_are_named(client: AsyncClient) -> None:
    """Both are needed, and an empty object says so of both."""
    assert fields(await client.post("/auth/signup", json={})).keys() == {"email", "password"}
    assert fields(await client.post("/auth/login", json={})).keys() == {"email", "password"}


async def test_too_many_failures_say_when_to_come_again(client: AsyncClient) -> None:
    """After five failures and one more it is 429 with Retry-After, though the right password is at hand."""
    await client.post("/auth/signup", json=ANN)
    for _ in range(6):
        assert (await client.post("/auth/login", json={**ANN, "password": "wrong"})).status_code == 401
    limited = await client.post("/auth/login", json=ANN)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 4


async def test_nobody_without_an_account_has_a_profile(tmp_path: Path) -> None:
    """Neither the owner `local` nor a token whose account is gone is somebody; the advice is to log in."""
    async with house(tmp_path) as opened, client_of(opened.app) as client:
        token = TOKENS.sign("gone", datetime.now(UTC), timedelta(hours=1))
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            refused = await client.get("/auth/me", headers=headers)
            assert refused.status_code == 401
            assert "POST /auth/login" in refused.json()["detail"]


async def test_whom_a_client_claims_to_be_called_by_is_not_believed(closed: House) -> None:
    """Without trusted proxies an X-Forwarded-For gives no further attempts, on loopback neither."""
    async with serving(closed.app, "127.0.0.1", 0, 1) as address, AsyncClient(base_url=address) as client:
        statuses = []
        for number in range(21):
            given = {"email": f"user{number}@example.com", "password": PASSWORD}
            headers = {"X-Forwarded-For": f"9.9.9.{number}"}
            statuses.append((await client.post("/auth/signup", json=given, headers=headers)).status_code)
    assert statuses == [201] * 20 + [429]


async def test_a_client_behind_trusted_proxies_is_counted_by_itself(tmp_path: Path) -> None:
    """Where the gateway is trusted, one who fails too often keeps nobody else out."""
    async with house(tmp_path, CLOSED, trusted_proxies=1) as opened, client_of(opened.app) as client:
        for number in range(21):
            given = {"email": f"user{number}@example.com", "password": PASSWORD}
            answer = await client.post("/auth/signup", json=given, headers={"X-Forwarded-For": "9.9.9.9"})
        assert answer.status_code == 429
        answer = await client.post(
            "/auth/signup", json=given, headers={"X-Forwarded-For": "9.9.9.9, 8.8.8.8"}
        )
        assert answer.status_code == 201
