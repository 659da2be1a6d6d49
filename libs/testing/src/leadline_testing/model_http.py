"""As much of HTTP/1.1 as the providers' SDKs speak: bodies with a Content-Length, connections kept alive."""

import asyncio
import json

from leadline_testing.model_dialect import Response
from leadline_testing.model_request import Request

_PIECE_BYTES = 16


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request; raises asyncio.IncompleteReadError where the client has closed the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _version = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return Request(method, target.partition("?")[0], headers, body if isinstance(body, dict) else {})


async def send(writer: asyncio.StreamWriter, response: Response, number: int, pause: float) -> None:
    """Send a response, at once or, where there is a `pause`, in pieces with so many seconds between them."""
    content = json.dumps(response.body).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "request-id": f"req_{number}",  # as Anthropic names it
        "x-request-id": f"req_{number}",  # as OpenAI does
        **response.headers,
    }
    lines = [f"HTTP/1.1 {response.status} {'OK' if response.status == 200 else 'Error'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    if not pause:
        writer.write(head + content)
        await writer.drain()
        return
    writer.write(head)
    for start in range(0, len(content), _PIECE_BYTES):
        writer.write(content[start : start + _PIECE_BYTES])
        await writer.drain()
        await asyncio.sleep(pause)
