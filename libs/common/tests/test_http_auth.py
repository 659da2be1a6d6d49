"""Which requests need a token: all but a few routes, each told by its whole path, before a body is read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ASGIApp
from pydantic import SecretStr

from leadline_common.http.api import PUBLIC, build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.server import serving
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.scoring import OfferSpec
from leadline_testing.tables import every_row

TOKENS = Tokens([SecretStr("3WkZ6mNQJ1yP0cT9rB8vXhLdF5gKaUe2")])
OPEN_PATHS = [
    *("/health", "/health/live", "/health/ready", "/metrics", "/door", "/door/", "/api/door", "/api/health"),
    *("/schema", "/schema/openapi.json", "/schema/assets/swagger-ui.css"),
]
CLOSED_PATHS = [
    *("/me", "/me/", "/api/me", "/api/me/", "/api//me"),
    *("/named/health", "/named/metrics", "/named/schema", "/named/door", "/health/more/me", "/doorway"),
]


@get("/me")
async def show_me(owner: NamedDependency[str]) -> str:
    return owner


@get(["/named/{name:str}", "/health/more/me", "/doorway"])
async def named_like_public_ones() -> str:
    return "let in"


@get("/door", opt=PUBLIC)
async def door() -> str:
    return "open"


@post("/offer")
async def take_offer(data: JSONBody[OfferSpec]) -> OfferSpec:
    return data


@post("/upload", request_max_body_size=2_000_000_000)
async def take_upload(request: Request[Any, Any, Any]) -> int:
    return len([piece async for piece in request.stream()])


def app_of(*, open_to_all: bool) -> ASGIApp:
    """Routes of all kinds."""
    routes = [show_me, named_like_public_ones, door, take_offer, take_upload]
    authentication = Authentication(TOKENS, open_to_all=open_to_all)
    return build_app("Doors", routes, Health([]), Metrics(new_registry()), authentication)


def bearer(user_id: str) -> dict[str, str]:
    """Return the header of a user."""
    return {"Authorization": f"Bearer {TOKENS.sign(user_id, datetime.now(UTC), timedelta(hours=1))}"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application that needs tokens."""
    transport = httpx.ASGITransport(app_of(open_to_all=False))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@every_row("path", OPEN_PATHS)
async def test_what_is_public_needs_no_token(client: httpx.AsyncClient, path: str) -> None:
    """Health, metrics, schema and the doors to an account answer anybody, also one with a stale token."""
    assert (await client.get(path)).status_code == 200
    assert (await client.get(path, headers={"Authorization": "Bearer stale"})).status_code == 200


@every_row("path", CLOSED_PATHS)
async def test_all_else_needs_a_token(client: httpx.AsyncClient, path: str) -> None:
    """A route is closed unless it says otherwise, whatever its path has in common with public ones."""
    refused = await client.get(path)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "POST /auth/login" in refused.json()["detail"]
    assert (await client.get(path, headers=bearer("ann"))).status_code == 200


async def test_the_owner_is_the_user_of_the_token(client: httpx.AsyncClient) -> None:
    """Each request is its sender's own, one after the other on one connection."""
    for user in ("ann", "bob"):
        assert (await client.get("/me", headers=bearer(user))).text == user


async def test_open_to_all_the_owner_is_local_unless_a_token_is_sent() -> None:
    """On a laptop nobody has to log in; who does is themselves, and a bad token never becomes `local`."""
    transport = httpx.ASGITransport(app_of(open_to_all=True))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/me")).text == "local"
        assert (await client.get("/me", headers=bearer("ann"))).text == "ann"
        assert (await client.get("/me", headers={"Authorization": "Bearer x"})).status_code == 401


async def test_what_answers_without_a_route_stays_as_it_is(client: httpx.AsyncClient) -> None:
    """OPTIONS, wrong methods and unknown paths answer as they do to everybody; HEAD is a GET."""
    options = await client.options("/me")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (await client.head("/me")).status_code == 401
    assert (await client.delete("/me")).status_code == 405
    assert (await client.get("/nothing")).status_code == 404


async def test_a_wrong_body_is_not_looked_at_before_the_token(client: httpx.AsyncClient) -> None:
    """Nobody learns without a token what a route would take."""
    json = {"Content-Type": "application/json"}
    for headers, status in ((json, 400), ({}, 415)):
        assert (await client.post("/offer", content=b"{nonsense", headers=headers)).status_code == 401
        answer = await client.post("/offer", content=b"{nonsense", headers={**headers, **bearer("ann")})
        assert answer.status_code == status


async def test_an_upload_without_a_token_is_refused_before_it_is_sent() -> None:
    """Of two gigabytes announced the first byte need not come: the answer is there, and the server idle."""
    async with serving(app_of(open_to_all=False), "127.0.0.1", 0, 1) as address:
        host, port = address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1999999999\r\n\r\n")
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()
    assert head.startswith("http/1.1 401")
    assert "www-authenticate: bearer" in head


async def test_the_schema_says_what_needs_a_token(client: httpx.AsyncClient) -> None:
    """The document names the bearer scheme, and for each operation whether a token is needed."""
    document = (await client.get("/schema/openapi.json")).json()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    needed = {path: item.get("get", item.get("post"))["security"] for path, item in document["paths"].items()}
    assert needed["/me"] == needed["/offer"] == [{name: []}]
    assert needed["/door"] == needed["/health/live"] == needed["/metrics"] == []


async def test_the_schema_says_where_a_token_is_optional() -> None:
    """Where it is open to all, both ways of asking are documented."""
    transport = httpx.ASGITransport(app_of(open_to_all=True))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        document = (await client.get("/schema/openapi.json")).json()
    assert document["paths"]["/me"]["get"]["security"] == [{"bearer": []}, {}]
