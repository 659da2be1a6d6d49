"""Which requests are refused for the host they name or the web page they come from.

Any page in a user's browser can send requests to a server on the same machine. Where a token is needed, that
does no harm: the page has none. Where none is needed (`open_to_all`), a request has to name this machine as
its host, since a page can point a name of its own here and then read the answers (DNS rebinding), and must
not come from a page of another origin. Browsers say where a request comes from in `Origin` and
`Sec-Fetch-Site`; programs send neither.
"""

import re
from collections.abc import Collection

from litestar import Request
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from leadline_common.http.problems import render
from leadline_common.process.listening import is_loopback
from leadline_contracts.errors import Problem

_PROBES = frozenset({"/health", "/health/live", "/health/ready"})
"""Load balancers request these under any host name, in HTTP/1.0 under none. They show a state and no data."""
_PAGES = frozenset({"", "/schema"})
"""What a link on another site may open: the page, and what leads to it, hold no data and do nothing."""
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)((?::\d+)?)")
_SHOWN = 100
"""Characters of a header that an answer quotes."""


def guarded(app: ASGIApp, *, open_to_all: bool, origins: Collection[str] = ()) -> ASGIApp:
    """Answer requests that `refusal` refuses before a route or the body is read; pass on all others."""

    async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
        problem = None
        if scope["type"] == ScopeType.HTTP:
            problem = refusal(scope, open_to_all=open_to_all, origins=origins)
        if problem is None:
            await app(scope, receive, send)
        else:
            await render(problem).to_asgi_response(None, Request(scope))(scope, receive, send)

    return guarding


def refusal(scope: HTTPScope, *, open_to_all: bool, origins: Collection[str] = ()) -> Problem | None:
    """Return why a request is refused, None where it is not.

    That is 400 where it names no host or several, and, `open_to_all`, 421 where the host is not this machine
    and 403 where a web page of another origin sends it, unless that is one of the `origins`. A token changes
    nothing: it is not verified here, and public routes do not look at it.
    """
    headers = Headers.from_scope(scope)
    hosts = headers.getall("host", [])
    probed = scope["path"].rstrip("/") in _PROBES
    # HTTP/1.0 knows no Host; from 1.1 on there is exactly one (RFC 9112, section 3.2).
    optional = scope["http_version"] == "1.0" and (probed or not open_to_all)
    if len(hosts) > 1 or not (hosts or optional):
        return Problem(400, "No single host", f"Send one Host header; this request has {len(hosts)}.")
    if not open_to_all:
        return None
    host = hosts[0] if hosts else ""
    return (None if probed else _foreign_host(host)) or _other_page(scope, headers, host, origins)


def _foreign_host(host: str) -> Problem | None:
    parts = _HOST.fullmatch(host)
    if parts and is_loopback(parts[1].strip("[]")):
        return None
    port = parts[2] if parts else ""
    return Problem(
        421,
        "Not this host",
        f"The request is for the host {host[:_SHOWN]!r}. This Leadline asks nobody for a token, so it "
        f"answers to this machine's own names alone: call http://127.0.0.1{port} or http://localhost{port}, "
        "or set LEADLINE_AUTH=required.",
    )


def _other_page(scope: HTTPScope, headers: Headers, host: str, known: Collection[str]) -> Problem | None:
    # A proxy on this machine may take https and send http.
    own = {f"http://{host}".lower(), f"https://{host}".lower()}
    sent = [origin.lower() for origin in headers.getall("origin", [])]
    if len(sent) == 1 and sent[0] in known:
        return None
    origins = [origin for origin in headers.getall("origin", []) if origin.lower() not in own]
    sites = [site for site in headers.getall("sec-fetch-site", []) if site not in {"same-origin", "none"}]
    if not origins and (not sites or _follows_link(scope, headers)):
        return None
    name, value = ("Origin", origins[0]) if origins else ("Sec-Fetch-Site", sites[0])
    return Problem(
        403,
        "Cross-site request",
        f"A browser sent this for a page of another site ({name} is {value[:_SHOWN]!r}). This Leadline asks "
        "nobody for a token, so a browser reaches it from its own page /schema or by an address typed in "
        "alone. Call it from a program, such as curl; a page of your own needs LEADLINE_AUTH=required and "
        "the same address as Leadline, behind one gateway; or its origin in LEADLINE_CORS_ORIGINS.",
    )


def _follows_link(scope: HTTPScope, headers: Headers) -> bool:
    return (
        scope["method"] == "GET"
        and scope["path"].rstrip("/") in _PAGES
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
