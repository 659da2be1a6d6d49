"""Headers that every answer needs: what it is, that it is kept by nobody, and a tag to ask again by.

An answer that is complete gets a weak ETag of its content, and none of it is sent again to whoever has that
(RFC 9110, section 13.1.2). The content is made all the same: a tag saves the transfer, not the work.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

_PAGES = "/schema"
"""What holds no data of anybody; browsers may keep it."""
_INLINE = re.compile(rb"<(script|style)\b(?![^>]*\bsrc=)[^>]*>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r'(?:W/)?("[^"]*")|\*')
_OF_CONTENT = (b"content-length", b"content-type")


def finished(app: ASGIApp) -> ASGIApp:
    """Add to each answer what it needs; answer 304 where the client has the content."""

    async def finishing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await app(scope, receive, _Finish(scope, send))
        else:
            await app(scope, receive, send)

    return finishing


class _Finish:
    """Sends one answer on. The start of one that is complete waits for its content, a stream's does not."""

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._held: HTTPResponseStartEvent | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders(message)
            headers["X-Content-Type-Options"] = "nosniff"
            if not self._scope["path"].startswith(_PAGES):
                headers.setdefault("Cache-Control", "no-store")
            if "content-length" in headers:
                self._held = message
                return
        elif message["type"] == "http.response.body" and self._held is not None:
            start, self._held = self._held, None
            if not message.get("more_body"):
                message["body"] = self._with_content(start, message["body"])
            await self._send(start)
        await self._send(message)

    def _with_content(self, start: HTTPResponseStartEvent, body: bytes) -> bytes:
        """Add the headers that depend on the content, and return what of it is to be sent."""
        headers = MutableScopeHeaders(start)
        if headers.get("content-type", "").startswith("text/html"):
            headers["Content-Security-Policy"] = _policy(body)
        if start["status"] != 200 or self._scope["method"] != "GET" or "etag" in headers:
            return body
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers["ETag"] = f"W/{tag}"
        if not _has(Headers.from_scope(self._scope).getall("if-none-match", []), tag):
            return body
        start["status"] = 304
        start["headers"] = [pair for pair in start["headers"] if pair[0].lower() not in _OF_CONTENT]
        return b""


def _has(if_none_match: Iterable[str], tag: str) -> bool:
    tags = _TAG.finditer(", ".join(if_none_match))
    return any(found[1] in {None, tag} for found in tags)


def _policy(page: bytes) -> str:
    """Return what a page may load and run: its own scripts and styles, and those of this service."""
    inline: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        inline[kind.decode()].append(f" 'sha256-{b64encode(sha256(text).digest()).decode()}'")
    return (
        f"default-src 'none'; script-src 'self'{''.join(inline['script'])}; "
        f"style-src 'self'{''.join(inline['style'])}; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
