"""A local server that speaks the APIs of Anthropic, OpenAI and Gemini, well or badly on demand.

`python -m leadline_testing.model_server --port 8099` runs one by hand. Streaming and batches are left out.
"""

import argparse
import asyncio
import contextlib
import json
import re
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from leadline_testing import model_anthropic, model_gemini, model_openai
from leadline_testing.model_answers import answer_from_schema
from leadline_testing.model_behaviour import BY_NAME, MEANINGS, OK, Behaviour
from leadline_testing.model_dialect import Dialect, Response, Said
from leadline_testing.model_http import read_request, send
from leadline_testing.model_request import Body, Request
from leadline_testing.model_usage import PromptCache
from leadline_testing.running_server import LOOPBACK

_DIALECTS: tuple[Dialect, ...] = (model_anthropic, model_openai, model_gemini)
_MODEL_ROUTE = re.compile(r"/v1(?:beta)?/models/[^/:]+")
_REMEMBERED = 10_000


class ModelServer:
    """`async with ModelServer() as server:` answers at `server.base_url`, OpenAI's SDK at `/v1` under it.

    `behave` scripts what happens to the next questions (POST). `answer` makes the answer from a question's
    body, sent as JSON text, or as it is where it is a str; by default a valid one for whatever schema was
    asked for. `count` counts all questions, `requests` holds the newest 10,000, in the order they came in.

    `checks` counts the requests for a model's entry (GET). They follow no script and fail only by a default
    that leaves no key, no model or no server to find (see `Behaviour.fails_checks`).
    """

    def __init__(
        self,
        *,
        answer: Callable[[Body], Any] = answer_from_schema,
        default: Behaviour = OK,
        choose: Callable[[Body], Behaviour] | None = None,
        port: int = 0,
    ) -> None:
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        self.count = 0
        self.checks = 0
        self._answer = answer
        self._default = default
        self._choose = choose
        self._script: deque[Behaviour] = deque()
        self._cache = PromptCache()
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """The address for ANTHROPIC_BASE_URL and GOOGLE_GEMINI_BASE_URL; OPENAI_BASE_URL adds /v1."""
        return f"http://{LOOPBACK}:{self._port}"

    def behave(
        self,
        *script: Behaviour,
        default: Behaviour | None = None,
        choose: Callable[[Body], Behaviour] | None = None,
    ) -> None:
        """Treat the next questions as scripted, one behaviour each, and all later ones by `default`.

        Where `choose` is given it picks the behaviour of those later ones from their bodies, and `default`
        is left for checks. Replaces what is left of an earlier script; without either, an earlier `default`
        or `choose` still holds for later questions.
        """
        self._script = deque(script)
        if default or choose:
            self._default, self._choose = default or self._default, choose

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
                request = await read_request(reader)
                behaviour = self._receive(request)
                number = self.count + self.checks
                await asyncio.sleep(behaviour.latency)
                if behaviour.drop:
                    writer.transport.abort()
                    return
                await send(writer, self._respond(request, behaviour, number), number, behaviour.pause)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    def _receive(self, request: Request) -> Behaviour:
        """Count and keep a request, and return how to treat it."""
        if request.method == "GET":
            self.checks += 1
            return self._default if self._default.fails_checks else OK
        self.count += 1
        self.requests.append(request)
        if self._script:
            return self._script.popleft()
        return self._choose(request.body) if self._choose else self._default

    def _respond(self, request: Request, behaviour: Behaviour, number: int) -> Response:
        dialect = _dialect_of(request)
        route = _MODEL_ROUTE if request.method == "GET" else dialect.ROUTE
        if not route.fullmatch(request.path):
            return dialect.refuse(404, f"no such endpoint: {request.method} {request.path}")
        if fault := dialect.find_fault(request):
            return fault
        if behaviour.status != 200:
            return dialect.refuse(behaviour.status, "scripted by the test", behaviour.retry_after)
        if request.method == "GET":
            return Response(200, dialect.describe(request.model))
        said = _say(self._answer(request.body), request.body, behaviour)
        headers = {} if behaviour.reset is None else dialect.limit_headers(behaviour.reset)
        return Response(200, dialect.reply(request, said, self._cache, number), headers)


def _dialect_of(request: Request) -> Dialect:
    """Find the provider's protocol by a question's path, else by its headers: the providers share paths."""
    for dialect in _DIALECTS:
        if dialect.ROUTE.fullmatch(request.path):
            return dialect
    if "x-goog-api-key" in request.headers:
        return model_gemini
    return model_anthropic if "anthropic-version" in request.headers else model_openai


def _say(answer: Any, body: Body, behaviour: Behaviour) -> Said:
    answer = behaviour.spoil(answer, body)
    text = answer if isinstance(answer, str) else json.dumps(answer)
    thought = "Weighing what speaks for it." if behaviour.thinks else ""
    return Said(text[: int(len(text) * behaviour.cut)], behaviour.stop_reason, thought)


async def _run(port: int, script: list[Behaviour]) -> None:
    async with ModelServer(port=port) as server:
        server.behave(*script, default=script[-1])
        sys.stdout.write(
            f"ANTHROPIC_BASE_URL={server.base_url}\nANTHROPIC_API_KEY=anything\n"
            f"OPENAI_BASE_URL={server.base_url}/v1\nOPENAI_API_KEY=anything\n"
            f"GOOGLE_GEMINI_BASE_URL={server.base_url}\nGEMINI_API_KEY=anything\n"
            "Start Leadline with the two variables of one provider set. Ctrl-C stops the server.\n"
        )
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Run a local server that speaks the APIs of Anthropic, OpenAI and Gemini until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m leadline_testing.model_server",
        description=main.__doc__,
        epilog="behaviours:\n" + "\n".join(f"  {name:<17}{meaning}" for name, meaning in MEANINGS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8099, help="port on the loopback address (%(default)s)")
    parser.add_argument(
        "--behaviour",
        nargs="+",
        choices=BY_NAME,
        default=["ok"],
        metavar="NAME",
        help="what to do with each request in turn; the last holds for all that follow (ok)",
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="how much later to do it (%(default)g)"
    )
    arguments = parser.parse_args()
    script = [BY_NAME[name] for name in arguments.behaviour]
    script = [replace(behaviour, latency=behaviour.latency + arguments.latency) for behaviour in script]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(arguments.port, script))


if __name__ == "__main__":
    main()
