"""A small gateway for one machine: one address in front of the services, streaming both ways."""

import json
from collections.abc import AsyncIterator, Mapping

import httpx
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from leadline_common.http.api import without_api_prefix
from leadline_common.http.service_map import service_for
from leadline_contracts.errors import code_of, type_of

_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer"}
# The server in front of the gateway writes these two itself.
_OWN = {b"date", b"server"}


class _ClientGone(Exception):
    """The sender of a request hung up before its end; raised through the client, which then hangs up too."""


def build_gateway(services: Mapping[str, str], client: httpx.AsyncClient) -> ASGIApp:
    """Return an application that hands each request to the service the table of routes names.

    `services` maps a service's name to its address.
    """

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return
        service = service_for(scope["method"], scope["path"])
        if service is None:
            await _refuse(send, 404, "Not found", "No service answers this path.")
            return
        request = client.build_request(
            scope["method"],
            httpx.URL(services[service]).copy_with(raw_path=_target(scope)),
            headers=[(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP],
            content=_body(receive),
        )
        try:
            response = await client.send(request, stream=True)
        except httpx.TransportError:
            await _refuse(send, 503, "Temporarily unavailable", f"The {service} service does not answer.")
            return
        except _ClientGone:
            return
        await _pass_on(response, send)

    return without_api_prefix(gateway)


def _target(scope: Scope) -> bytes:
    query = scope["query_string"]
    path = scope["path"].encode()
    return path + b"?" + query if query else path


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGone
        more = message["more_body"]
        yield message["body"]


async def _pass_on(response: httpx.Response, send: Send) -> None:
    try:
        dropped = _HOP_BY_HOP | _OWN
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in dropped]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for piece in response.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await response.aclose()


async def _refuse(send: Send, status: int, title: str, detail: str) -> None:
    code = code_of(title)
    problem = {"type": type_of(code), "title": title, "status": status, "code": code, "detail": detail}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
