"""Pages of other origins that may call: those that LEADLINE_CORS_ORIGINS names, by default none.

The answers to browsers are those of the Fetch standard (https://fetch.spec.whatwg.org/#http-cors-protocol).
No cookie is allowed: whoever calls shows a token, or, where none is needed, comes from a page that is named.
"""

from collections.abc import Collection

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, traceparent"
    ),
    "Access-Control-Max-Age": "600",
}
_READABLE = "Content-Disposition, ETag, Link, Location, Retry-After, X-Total-Count"
"""Headers of ours that a page may read besides those that it always may."""


def shared(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """Let browsers hand the answers on to pages of these origins, and answer when they ask beforehand."""

    async def sharing(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_scope(scope) if scope["type"] == ScopeType.HTTP else None
        origin = headers.get("origin", "") if headers else ""
        known = origin.lower() in origins

        async def share(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableScopeHeaders(message)
                answer.extend_header_value("Vary", "Origin")
                if known:
                    answer["Access-Control-Allow-Origin"] = origin
                    answer["Access-Control-Expose-Headers"] = _READABLE
            await send(message)

        preflight = headers is not None and "access-control-request-method" in headers
        if known and preflight and scope.get("method") == HttpMethod.OPTIONS:
            pairs = [(name.lower().encode(), value.encode()) for name, value in _PREFLIGHT.items()]
            await share({"type": "http.response.start", "status": 204, "headers": pairs})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await app(scope, receive, share)

    return sharing if origins else app
