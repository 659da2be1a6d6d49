"""A local server that speaks the Anthropic Messages API as its SDK 2.11 uses it, well or badly on demand.

`python -m leadline_testing.model_server --port 8099` runs one by hand. Streaming and batches are left out.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from leadline_testing.model_answers import Body, answer_from_schema
from leadline_testing.model_behaviour import BY_NAME, ERROR_TYPES, OK, Behaviour
from leadline_testing.running import LOOPBACK

_PIECE_BYTES = 16
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """One received request; header names are lower-case, `body` is {} where it was no JSON object."""

    method: str
    path: str
    headers: dict[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: dict[str, Any]
    retry_after: float | None = None


class ModelServer:
    """`async with ModelServer() as server:` answers POST /v1/messages at `server.base_url`.

    `behave` scripts what happens to the next requests. `answer` makes the answer, sent as JSON text, or as
    it is where it is a str; by default a valid one for whatever schema was asked for. `count` counts all
    requests, `requests` holds the newest 10,000, in the order they came in.
    """

    def __init__(
        self, *, answer: Callable[[Body], Any] = answer_from_schema, default: Behaviour = OK, port: int = 0
    ) -> None:
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        self.count = 0
        self._answer = answer
        self._default = default
        self._script: deque[Behaviour] = deque()
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """The address for `AsyncAnthropic(base_url=...)` or ANTHROPIC_BASE_URL."""
        return f"http://{LOOPBACK}:{self._port}"

    def behave(self, *script: Behaviour, default: Behaviour | None = None) -> None:
        """Treat the next requests as scripted, one behaviour each, and all later ones by `default`.

        Replaces what is left of an earlier script; without `default` the earlier default stays.
        """
        self._script = deque(script)
        self._default = default or self._default

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, LOOPBACK, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it or a behaviour does."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        self._connections.add(task)
        try:
            while True:
                request = await _read_request(reader)
                self.count += 1
                self.requests.append(request)
                behaviour = self._script.popleft() if self._script else self._default
                await asyncio.sleep(behaviour.latency)
                if behaviour.drop:
                    writer.transport.abort()
                    return
                await _send(writer, self._respond(request, behaviour), self.count, behaviour.pause)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    def _respond(self, request: Request, behaviour: Behaviour) -> _Response:
        if fault := _find_fault(request):
            return _error(*fault)
        if behaviour.status != HTTPStatus.OK:
            return _error(behaviour.status, "scripted by the test", behaviour.retry_after)
        answer = behaviour.spoil(self._answer(request.body), request.body)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return _Response(HTTPStatus.OK, _message(request.body, text, behaviour, self.count))


async def _read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request with a Content-Length, the only kind the SDK sends."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _version = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return Request(method, path, headers, body if isinstance(body, dict) else {})


def _find_fault(request: Request) -> tuple[int, str] | None:
    """Return the status and reason with which the real API would refuse the request."""
    if (request.method, request.path) != ("POST", "/v1/messages"):
        return 404, f"no such endpoint: {request.method} {request.path}"
    if not {"authorization", "x-api-key"} & request.headers.keys():
        return 401, "no key: send Authorization: Bearer KEY"
    if "anthropic-version" not in request.headers:
        return 400, "anthropic-version: header is required"
    missing = {"model", "max_tokens", "messages"} - request.body.keys()
    return (400, f"{', '.join(sorted(missing))}: field required") if missing else None


def _error(status: int, reason: str, retry_after: float | None = None) -> _Response:
    error = {"type": ERROR_TYPES[status], "message": reason}
    return _Response(status, {"type": "error", "error": error}, retry_after)


def _message(body: Body, text: str, behaviour: Behaviour, number: int) -> dict[str, Any]:
    said = text[: int(len(text) * behaviour.cut)]
    content: list[dict[str, str]] = []
    if behaviour.thinks:
        content.append({"type": "thinking", "thinking": "Weighing the lead.", "signature": "none"})
    if said:
        content.append({"type": "text", "text": said})
    refused = behaviour.stop_reason == "refusal"
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": behaviour.stop_reason,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None} if refused else None,
        "usage": {"input_tokens": _estimate_input_tokens(body), "output_tokens": _estimate_tokens(said)},
    }


def _estimate_input_tokens(body: Body) -> int:
    return _estimate_tokens(json.dumps([body.get("system"), body["messages"]]))


def _estimate_tokens(text: str) -> int:
    """Four characters a token: near enough for tests of budgets."""
    return len(text) // 4


async def _send(writer: asyncio.StreamWriter, response: _Response, number: int, pause: float) -> None:
    content = json.dumps(response.body).encode()
    head = [
        f"HTTP/1.1 {response.status} {ERROR_TYPES.get(response.status, 'OK')}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        f"request-id: req_{number}",
    ]
    if response.retry_after is not None:
        head.append(f"retry-after: {response.retry_after:g}")
    head_bytes = "\r\n".join([*head, "", ""]).encode()
    if not pause:
        writer.write(head_bytes + content)
        await writer.drain()
        return
    writer.write(head_bytes)
    for start in range(0, len(content), _PIECE_BYTES):
        writer.write(content[start : start + _PIECE_BYTES])
        await writer.drain()
        await asyncio.sleep(pause)


async def _run(port: int, script: list[Behaviour]) -> None:
    async with ModelServer(port=port) as server:
        server.behave(*script, default=script[-1])
        sys.stdout.write(f"ANTHROPIC_BASE_URL={server.base_url}\nANTHROPIC_API_KEY=anything\n")
        sys.stdout.write("Start Leadline with these two variables set. Ctrl-C stops the server.\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Run the local model server until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m leadline_testing.model_server", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument(
        "--behaviour",
        nargs="+",
        choices=sorted(BY_NAME),
        default=["ok"],
        metavar="NAME",
        help="one for each request, the last for all that follow: %(choices)s",
    )
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(arguments.port, [BY_NAME[name] for name in arguments.behaviour]))


if __name__ == "__main__":
    main()
