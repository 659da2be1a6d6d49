"""HEAD wherever GET is: the same answer without its content (RFC 9110, section 9.3.2)."""

import asyncio
from collections.abc import Iterable

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPDisconnectEvent, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPReceiveMessage


def with_head(app: ASGIApp) -> ASGIApp:
    """Answer HEAD as the application answers GET; a stream ends where its content would begin."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
        elif scope["method"] != HttpMethod.HEAD:
            await app(scope, receive, _AllowHead(send))
        else:
            inner = {**scope, "method": HttpMethod.GET.value}
            content = _NoContent(receive, send)
            try:
                await app(inner, content.receive, _AllowHead(content.send))  # type: ignore[arg-type]
            finally:
                scope["path_template"] = str(inner.get("path_template", ""))  # for what logs and counts them

    return answering


def allowed(methods: Iterable[str]) -> str:
    """Return the methods that a path takes, HEAD among them where GET is, as an Allow header names them."""
    names = {method.strip() for method in methods}
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))


class _AllowHead:
    """Names HEAD where an answer names the methods that a path takes."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, allowed(value.decode().split(",")).encode() if name.lower() == b"allow" else value)
                for name, value in message["headers"]
            ]
        await self._send(message)


class _NoContent:
    """The two ends of a request whose answer has no content: once that would begin, the client is gone."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._asked = False
        self._begun = asyncio.Event()

    async def receive(self) -> HTTPReceiveMessage:
        if not self._asked:
            self._asked = True
            return await self._receive()  # type: ignore[return-value]
        await self._begun.wait()
        gone: HTTPDisconnectEvent = {"type": "http.disconnect"}
        return gone

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
        elif not self._begun.is_set():
            self._begun.set()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await asyncio.sleep(0)  # lets the stream learn that nobody listens
