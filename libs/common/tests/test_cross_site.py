"""Which requests are refused for the host they name or the page that sends them."""

import httpx
import pytest
from litestar import post
from litestar.types import HTTPScope

from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.cross_site import refusal
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_testing.tables import every_row

HERE = ("host", "localhost:8000")
LINK = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
PROBES = ["/health", "/health/", "/health/live", "/health/ready"]


def asked(
    *headers: tuple[str, str], method: str = "GET", path: str = "/results", version: str = "1.1"
) -> HTTPScope:
    """A request with these headers."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": method, "path": path, "http_version": version, "headers": raw}  # type: ignore[typeddict-item]


def status(scope: HTTPScope, *, open_to_all: bool = True) -> int | None:
    """The status the request is refused with, None where it is not."""
    problem = refusal(scope, open_to_all=open_to_all)
    return problem.status if problem else None


@every_row("port", ["", ":80", ":8000", ":65535"])
@every_row("name", ["localhost", "LocalHost", "127.0.0.1", "127.255.0.9", "[::1]"])
def test_this_machines_names_are_taken(name: str, port: str) -> None:
    """Each way to write this machine's own address is one, whatever the port is forwarded from."""
    assert status(asked(("host", name + port))) is None


@every_row(
    "host",
    [
        *("", ":8000", " ", "example.com", "example.com:8000", "leadline", "localhost.example.com"),
        *("127.0.0.1.example.com", "example.com#localhost", "localhost@example.com", "localhost:8000:80"),
        *("localhost:x", "localhost:", "localhost/", "10.0.0.1", "[::]", "[::2]:8000", "::1", "[::1", "[]"),
        *("127.1", "2130706433", "localhost, example.com", "\xe4", "x" * 100_000),
    ],
)
def test_other_names_are_not(host: str) -> None:
    """What is not plainly this machine may be a name that a page had pointed here."""
    problem = refusal(asked(("host", host)), open_to_all=True)
    assert problem is not None
    assert problem.status == 421
    assert len(problem.detail) < 500


@pytest.mark.parametrize(
    ("host", "advised"),
    [
        ("example.com:8011", "http://127.0.0.1:8011 "),
        ("example.com", "http://127.0.0.1 "),
        ("a:b:c", "127.0.0.1 "),
    ],
)
def test_the_address_to_call_is_told(host: str, advised: str) -> None:
    """The advice keeps the port, so that it can be followed as it stands."""
    problem = refusal(asked(("host", host)), open_to_all=True)
    assert problem is not None
    assert advised in problem.detail
    assert "LEADLINE_AUTH=required" in problem.detail


@every_row("open_to_all", [True, False])
@every_row("path", ["/results", *PROBES])
def test_there_is_one_host(path: str, open_to_all: bool) -> None:
    """HTTP/1.1 has exactly one, and two are never chosen from, token or not."""
    assert status(asked(path=path), open_to_all=open_to_all) == 400
    for version in ("1.0", "1.1"):
        assert status(asked(HERE, HERE, path=path, version=version), open_to_all=open_to_all) == 400


def test_http_1_0_may_name_none_where_it_does_no_harm() -> None:
    """Old programs go on where a token is asked for, and load balancers' checks everywhere."""
    assert status(asked(version="1.0")) == 400
    assert status(asked(version="1.0"), open_to_all=False) is None
    assert [status(asked(path=path, version="1.0")) for path in PROBES] == [None] * 4


@pytest.mark.parametrize("path", PROBES)
def test_probes_name_any_host_and_are_no_pages(path: str) -> None:
    """A check by a service's name is answered, a page of another site is not even told the state."""
    host = ("host", "leadline.internal")
    assert status(asked(host, path=path)) is None
    assert status(asked(host, ("origin", "https://example.com"), path=path)) == 403
    assert status(asked(host, ("sec-fetch-site", "cross-site"), path=path)) == 403


@pytest.mark.parametrize(
    "path", ["/metrics", "/health/x", "/healthy", "/x/health", "/schema", "/auth/login", "/"]
)
def test_all_else_names_this_machine(path: str) -> None:
    """Metrics tell how much was scored and spent, so the exception for probes goes no further."""
    assert status(asked(("host", "leadline.internal"), path=path)) == 421


@every_row("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@every_row(
    "origin",
    [
        *(
            "null",
            "",
            "https://example.com",
            "http://localhost",
            "http://localhost:3000",
            "http://localhost:80000",
        ),
        *(
            "http://127.0.0.1:8000",
            "http://localhost:8000.example.com",
            "http://localhost:8000/",
            "localhost:8000",
        ),
        *("file://", "ftp://localhost:8000", "http://localhost:8000, http://localhost:8000"),
    ],
)
def test_an_origin_is_the_hosts_own(method: str, origin: str) -> None:
    """Not another port or name of this machine either: there may be anybody's page."""
    assert status(asked(HERE, ("origin", origin), method=method)) == 403


@every_row("site", ["cross-site", "same-site", "", "None", "new-word"])
@every_row("method", ["GET", "POST", "OPTIONS"])
def test_a_site_is_the_same(method: str, site: str) -> None:
    """Also where the browser names no origin, and with words that browsers may learn later."""
    assert status(asked(HERE, ("sec-fetch-site", site), method=method)) == 403


def test_one_wrong_word_among_several_is_enough() -> None:
    """A header that comes twice is not read by its better half."""
    same, other = ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")
    own, foreign = ("origin", "http://localhost:8000"), ("origin", "null")
    for pair in ((same, other), (other, same), (own, foreign), (foreign, own), (same, foreign), (other, own)):
        assert status(asked(HERE, *pair)) == 403


@every_row(
    "headers",
    [
        [],
        [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
        [("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8000")],
        [("origin", "HTTP://LOCALHOST:8000")],
        [("origin", "https://localhost:8000")],
    ],
)
@every_row("method", ["GET", "POST"])
def test_programs_and_our_own_page_are_taken(method: str, headers: list[tuple[str, str]]) -> None:
    """Neither curl nor an address typed in names a page; /schema names itself, also behind a TLS proxy."""
    assert status(asked(HERE, *headers, method=method)) is None


def test_a_link_opens_the_schema_page_alone() -> None:
    """A click elsewhere may show the page to the user: whole, and nothing that has data or does something."""
    assert status(asked(HERE, *LINK, path="/")) is None
    assert [status(asked(HERE, *LINK, path=path)) for path in ("/schema", "/schema/")] == [None, None]
    assert status(asked(HERE, *LINK, path="/schema", method="POST")) == 403
    for path in (
        "/results",
        "/results/export",
        "/schema/openapi.json",
        "/schema/assets/x.js",
        "/health",
        "/metrics",
    ):
        assert status(asked(HERE, *LINK, path=path)) == 403
    for framed in ("iframe", "object", "embed", "script", ""):
        assert status(asked(HERE, *LINK[:2], ("sec-fetch-dest", framed), path="/schema")) == 403
    assert status(asked(HERE, LINK[0], LINK[2], path="/schema")) == 403
    assert status(asked(("host", "example.com"), *LINK, path="/schema")) == 421


def test_where_a_token_is_needed_pages_are_no_danger() -> None:
    """A page has no token to send, so a server for others goes by any name and takes what has one."""
    foreign = [("host", "leads.example.com"), ("origin", "https://app.example.com"), *LINK]
    assert status(asked(*foreign, method="POST"), open_to_all=False) is None


@post("/anything")
async def anything() -> None:
    raise AssertionError("it got through")


@pytest.mark.parametrize("path", ["/anything", "/api/anything/", "/nothing"])
@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer x"}])
async def test_a_refusal_is_a_problem_whatever_is_asked(path: str, token: dict[str, str]) -> None:
    """It comes before any route, alias or token is looked at, and can be found in the log."""
    app = build_app(
        "Pages", [anything], Health([]), Metrics(new_registry()), Authentication(Tokens([]), open_to_all=True)
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post(path, headers={"Origin": "https://example.com", **token})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "code", "detail", "trace_id"}
    assert "'https://example.com'" in problem["detail"]
