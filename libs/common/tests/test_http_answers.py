"""What every answer has beside its content: HEAD, tags, compression, and the headers that browsers obey."""

import asyncio
import gzip
import json
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest
from litestar import Response, get, post
from litestar.response import ServerSentEvent, Stream
from litestar.types import ASGIApp, Message

from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.compression import accepts_gzip
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry

OPEN = Authentication(Tokens([]), open_to_all=True)
CLOSED = Authentication(Tokens([]), open_to_all=False)
PAGE = "https://app.example.com"
LONG = {"text": "a lead " * 1_000}
PIECES = 50


class Pieces:
    """A stream that counts what was asked of it."""

    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        for self.made in range(1, PIECES + 1):
            await self.go_on.wait()
            yield f"{self.made}," * 2_000


@pytest.fixture
def pieces() -> Pieces:
    return Pieces()


@pytest.fixture
def app(pieces: Pieces) -> ASGIApp:
    return build(OPEN, pieces)


def build(authentication: Authentication, pieces: Pieces, origins: tuple[str, ...] = ()) -> ASGIApp:
    @get("/long")
    async def long() -> dict[str, str]:
        return LONG

    @get("/short")
    async def short() -> dict[str, int]:
        return {"short": 1}

    @get("/huge")
    async def huge() -> list[str]:
        return ["x" * 1_000_000]

    @get("/stream")
    async def stream() -> Stream:
        return Stream(aiter(pieces), media_type="text/csv")

    @get("/image")
    async def image() -> Response[bytes]:
        return Response(b"\x00" * 5_000, media_type="image/png")

    @get("/events")
    async def events() -> ServerSentEvent:
        return ServerSentEvent(text async for text in aiter(pieces))

    @post("/long")
    async def make() -> dict[str, str]:
        return LONG

    routes = [long, short, huge, stream, image, events, make]
    metrics = Metrics(new_registry())
    return build_app("Answers", routes, Health([]), metrics, authentication, cors_origins=origins)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Accept-Encoding": ""}
    )


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as opened:
        yield opened


async def sent(app: ASGIApp, path: str, **headers: str) -> list[Message]:
    """What the application sends, message by message."""
    messages: list[Message] = []
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }
    scope |= {"http_version": "1.1", "scheme": "http", "headers": [(b"host", b"localhost"), *pairs]}
    scope |= {"root_path": "", "server": ("localhost", 80), "client": ("127.0.0.1", 1)}
    asked, complete = False, asyncio.Event()

    async def receive() -> Any:
        nonlocal asked
        if asked:
            await complete.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            complete.set()

    await app(scope, receive, send)
    return messages


@pytest.mark.parametrize(
    "path", ["/long", "/short", "/health", "/schema", "/schema/openapi.json", "/nothing"]
)
async def test_head_answers_as_get_without_the_content(client: httpx.AsyncClient, path: str) -> None:
    """Who asks for headers alone gets those of GET, the length among them."""
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers == got.headers
    assert int(head.headers["content-length"]) > 0


async def test_head_does_not_make_a_whole_stream(client: httpx.AsyncClient, pieces: Pieces) -> None:
    """The headers of an export cost no export."""
    answer = await client.head("/stream")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/csv")
    assert pieces.made < 5


async def test_head_is_named_and_counted_by_its_name(client: httpx.AsyncClient) -> None:
    """Allow tells of it where GET is, and nowhere else; it stands in the metrics."""
    assert (await client.options("/short")).headers["allow"] == "GET, HEAD, OPTIONS"
    refused = await client.delete("/short")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "it takes GET, HEAD, OPTIONS." in refused.json()["detail"]
    await client.head("/short")
    counted = 'duration_seconds_count{method="HEAD",route="/short",status="200"} 1.0'
    assert counted in (await client.get("/metrics")).text


async def test_a_tag_saves_the_transfer(client: httpx.AsyncClient) -> None:
    """Who has the content is told so, in each way to name it; another content is another tag."""
    answer = await client.get("/long")
    tag = answer.headers["etag"]
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', tag)
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await client.get("/long", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-store"
        assert "content-length" not in again.headers
    for other in ('"other"', "W/other", "", (await client.get("/short")).headers["etag"]):
        assert (await client.get("/long", headers={"If-None-Match": other})).status_code == 200
    assert (await client.head("/long", headers={"If-None-Match": tag})).status_code == 304


async def test_what_changes_something_has_no_tag(client: httpx.AsyncClient) -> None:
    """A POST, a failure and a stream are never answered by what a client has."""
    for answer in (await client.post("/long"), await client.get("/nothing"), await client.get("/stream")):
        assert "etag" not in answer.headers
    assert (await client.post("/long", headers={"If-None-Match": "*"})).status_code == 201


@pytest.mark.parametrize("path", ["/long", "/huge", "/stream", "/schema/openapi.json", "/schema"])
async def test_long_answers_are_compressed(client: httpx.AsyncClient, path: str) -> None:
    """The content is the same and fewer bytes go over the wire; caches are told that there are two forms."""
    plain = await client.get(path)
    assert "content-encoding" not in plain.headers
    async with client.stream("GET", path, headers={"Accept-Encoding": "gzip, deflate, br"}) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2
    assert answer.headers.get("content-length", str(len(raw))) == str(len(raw))
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("etag") == plain.headers.get("etag")


@pytest.mark.parametrize("path", ["/short", "/image", "/events", "/nothing"])
async def test_what_would_gain_nothing_is_not(client: httpx.AsyncClient, path: str) -> None:
    """Short answers, images, and events, which must not wait for more."""
    answer = await client.get(path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        *(("gzip", True), ("GZIP;q=0.1", True), ("br, gzip", True), ("*", True), ("identity, *;q=0.5", True)),
        *(("", False), ("gzip;q=0", False), ("br", False), ("*, gzip;q=0", False), ("*;q=0", False)),
        *(("x-gzip-not", False), ("gzip;q=much", False), ("identity", False)),
    ],
)
def test_who_takes_gzip(header: str, taken: bool) -> None:
    """A weight of 0 is a refusal, and a name that only holds the word is another one."""
    assert accepts_gzip(header) is taken


async def test_a_compressed_stream_is_sent_piece_by_piece(app: ASGIApp, pieces: Pieces) -> None:
    """Whoever reads an export has each piece as soon as it is made, and none is gathered."""
    messages = await sent(app, "/stream", accept_encoding="gzip")
    bodies = [message["body"] for message in messages if message["type"] == "http.response.body"]
    assert len(bodies) == PIECES + 1
    unpacking, text = zlib.decompressobj(16 + zlib.MAX_WBITS), b""
    for number, body in enumerate(bodies[:-1], 1):
        text = unpacking.decompress(body)
        assert text == f"{number},".encode() * 2_000
    assert unpacking.decompress(bodies[-1]) == b""
    assert unpacking.eof


async def test_data_is_kept_by_nobody_and_taken_for_what_it_is(client: httpx.AsyncClient) -> None:
    """No cache keeps answers with data, failures too, and no browser guesses what they are."""
    for path in ("/long", "/stream", "/nothing", "/health", "/metrics", "/"):
        answer = await client.get(path)
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
    page = await client.get("/schema")
    assert "cache-control" not in page.headers
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_the_page_runs_its_own_scripts_alone(client: httpx.AsyncClient) -> None:
    """The policy names each inline script and style by its hash, and nothing of other sites."""
    page = await client.get("/schema")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    for kind in ("script", "style"):
        for text in re.findall(rf"<{kind}(?![^>]*src=)[^>]*>(.*?)</{kind}>", page.text, re.DOTALL):
            hashed = b64encode(sha256(text.encode()).digest()).decode()
            assert f"'sha256-{hashed}'" in policy[f"{kind}-src"]


@pytest.mark.parametrize("path", ["/", "/api/"])
async def test_the_root_leads_to_the_page(client: httpx.AsyncClient, path: str) -> None:
    """Who opens the address in a browser sees what there is."""
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, "/schema")


@pytest.mark.parametrize("authentication", [OPEN, CLOSED])
async def test_no_other_origin_is_let_in_by_default(authentication: Authentication, pieces: Pieces) -> None:
    """A browser that asks beforehand is not told that a page may."""
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    async with client_of(build(authentication, pieces)) as client:
        answers = [await client.options("/long", headers=asking), await client.get("/long", headers=asking)]
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)


async def test_a_page_of_a_named_origin_calls(pieces: Pieces) -> None:
    """It is told what it may send and read, failures too, and let in where nobody needs a token."""
    app = build(OPEN, pieces, (PAGE,))
    browser = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    async with client_of(app) as client:
        asking = {
            **browser,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "prefer",
        }
        asked = await client.options("/long", headers=asking)
        assert (asked.status_code, asked.content) == (204, b"")
        assert "POST" in asked.headers["access-control-allow-methods"]
        for name in ("authorization", "content-type", "idempotency-key", "prefer"):
            assert name in asked.headers["access-control-allow-headers"].lower()
        for answer in (
            asked,
            await client.post("/long", headers=browser),
            await client.get("/nothing", headers=browser),
        ):
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "Origin" in answer.headers["vary"]
            assert "Link" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "origin", ["https://example.com", "http://app.example.com", f"{PAGE}:8443", f"{PAGE}.example.org", "null"]
)
async def test_no_page_of_another_origin_does(pieces: Pieces, origin: str) -> None:
    """Origins are compared whole."""
    async with client_of(build(OPEN, pieces, (PAGE,))) as client:
        for answer in (
            await client.post("/long", headers={"Origin": origin}),
            await client.options(
                "/long", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
            ),
        ):
            assert (answer.status_code, json.loads(answer.text)["code"]) == (403, "cross_site_request")
            assert "access-control-allow-origin" not in answer.headers


async def test_a_named_origin_needs_a_token_all_the_same(pieces: Pieces) -> None:
    """Naming an origin lets a browser hand answers on; it lets nobody in."""
    async with client_of(build(CLOSED, pieces, (PAGE,))) as client:
        answer = await client.get("/long", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, PAGE)
