"""The local model server treats each request as its script says."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import pytest

from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_request import leads_in
from leadline_testing.model_server import ModelServer

from .model_askers import Anthropic, Asker, Gemini, OpenAI, answers, question


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A server that answers well until told otherwise."""
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def asker(server: ModelServer) -> AsyncIterator[Anthropic]:
    """One real SDK without retries of its own."""
    made = Anthropic(server.base_url)
    yield made
    await made.close()


async def test_requests_are_kept_for_assertions(server: ModelServer, asker: Anthropic) -> None:
    """A test sees the headers and the body that the SDK really sent."""
    await asker.ask(question("1"))
    (request,) = server.requests
    assert server.count == 1
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["anthropic-version"]
    assert request.body["messages"] == [{"role": "user", "content": question("1")}]


@pytest.mark.parametrize("answer", [{"answers": [{"id": "a"}]}, "Low: not a high-priority fit."])
async def test_the_answer_can_be_replaced(answer: Any) -> None:
    """A test makes its own answers; a model that ignores the schema and talks is one of them."""
    async with ModelServer(answer=lambda _body: answer) as server:
        asker = Anthropic(server.base_url)
        heard = await asker.ask(question("1"))
        await asker.close()
    assert heard.text == (answer if isinstance(answer, str) else json.dumps(answer))


async def test_a_script_is_used_up_one_behaviour_a_request(server: ModelServer, asker: Anthropic) -> None:
    """Scripted failures come in order, then the default is back; the SDK's own retry gets through."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=0.01), behaviour.DROPPED)
    asker.client = asker.client.with_options(max_retries=2)
    assert (await asker.ask(question("1"))).stop == "end_turn"
    assert server.count == 3


async def test_the_behaviour_can_depend_on_the_request(server: ModelServer, asker: Anthropic) -> None:
    """A poisonous lead spoils the requests it is in and no others, until a new default is set."""

    def poisoned(body: dict[str, Any]) -> Behaviour:
        return behaviour.TRUNCATED if "5" in dict(leads_in(body)) else behaviour.OK

    server.behave(behaviour.REFUSED, choose=poisoned)
    stops = [(await asker.ask(question(*ids))).stop for ids in (("1",), ("1", "2"), ("1", "5"), ("5",))]
    assert stops == ["refusal", "end_turn", "max_tokens", "max_tokens"]
    server.behave(behaviour.REFUSED)
    assert [(await asker.ask(question("5"))).stop for _ in range(2)] == ["refusal", "max_tokens"]
    server.behave(default=behaviour.OK)
    assert (await asker.ask(question("5"))).stop == "end_turn"


async def test_a_server_is_made_with_its_behaviour(asker: Anthropic) -> None:
    """`default` and `choose` may be given before the first request."""
    for options in ({"default": behaviour.REFUSED}, {"choose": lambda _body: behaviour.REFUSED}):
        async with ModelServer(**options) as server:
            asker.client.base_url = server.base_url
            assert (await asker.ask(question("1"))).stop == "refusal"


@pytest.mark.parametrize("scripted", [behaviour.OVERLOADED, behaviour.SERVER_ERROR, behaviour.RATE_LIMITED])
async def test_what_questions_run_into_leaves_checks_alone(
    server: ModelServer, asker: Anthropic, scripted: Behaviour
) -> None:
    """A provider that is busy still tells which models it has."""
    server.behave(default=scripted)
    assert await asker.check() == "claude-haiku-5-5"


async def test_a_server_that_is_away_fails_checks(server: ModelServer, asker: Anthropic) -> None:
    """Dropping connections by default hits checks as well."""
    server.behave(default=behaviour.DROPPED)
    with pytest.raises(anthropic.APIConnectionError):
        await asker.check()


async def test_a_trickle_escapes_the_timeout_of_each_read(server: ModelServer, asker: Anthropic) -> None:
    """A trickled answer takes longer than the SDK's timeout without tripping it."""
    server.behave(replace(behaviour.TRICKLE, pause=0.05))
    asker.client = asker.client.with_options(timeout=0.5)
    started = time.monotonic()
    assert answers(await asker.ask(question("1")))
    assert time.monotonic() - started > 0.6


async def test_connections_do_not_wait_for_each_other(server: ModelServer, asker: Anthropic) -> None:
    """Requests on different connections are treated at the same time."""
    server.behave(default=replace(behaviour.OK, latency=1.0))
    asker.client = asker.client.with_options(timeout=60)
    started = time.monotonic()
    await asyncio.gather(*(asker.ask(question("1")) for _ in range(20)))
    assert time.monotonic() - started < 15


async def test_keep_alive_answers_in_turn(server: ModelServer) -> None:
    """Requests on one connection get an answer each; foreign paths and a missing key are refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.base_url.rpartition(":")[2]))
    writer.write(
        b"GET /v1/nothing HTTP/1.1\r\n\r\n"
        b"POST /v1/models/m HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        b"POST /v1/messages?beta=true HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        b"POST /v1beta/models/m:generateContent HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        b"GET /v1/models/m HTTP/1.1\r\n\r\n"
    )
    statuses = []
    for _ in range(6):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        statuses.append(int(head.split(" ")[1]))
        length = next(line for line in head.splitlines() if line.startswith("content-length"))
        await reader.readexactly(int(length.partition(":")[2]))
    writer.close()
    assert statuses == [404, 404, 401, 401, 403, 401]
    assert (server.count, server.checks) == (4, 2)


async def test_the_command_plays_its_script_for_all_providers() -> None:
    """Started by hand it says where it is, and treats requests as named, the last name for all the rest."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadline_testing.model_server", "--port", "0"),
        *("--latency", "0.2", "--behaviour", "overloaded", "refused"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert command.stdout is not None
    try:
        told = [(await command.stdout.readline()).decode().strip().partition("=") for _ in range(6)]
        variables = {name: value for name, _, value in told}
        assert {variables.pop(f"{name}_API_KEY") for name in ("ANTHROPIC", "OPENAI", "GEMINI")} == {
            "anything"
        }
        url = variables["ANTHROPIC_BASE_URL"]
        assert variables == {
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_BASE_URL": f"{url}/v1",
            "GOOGLE_GEMINI_BASE_URL": url,
        }
        started = time.monotonic()
        askers: list[Asker] = [Anthropic(url), OpenAI(url), Gemini(url)]
        with pytest.raises(anthropic.APIStatusError):
            await askers[0].ask(question("1"))
        stops = [(await asker.ask(question("1"))).stop for asker in askers]
        assert stops == ["refusal", "refusal", "blocked BlockedReason.SAFETY"]
        assert time.monotonic() - started >= 0.8
        for asker in askers:
            await asker.close()
    finally:
        command.terminate()
        await command.communicate()


async def test_the_command_explains_each_behaviour() -> None:
    """--help says what each name does."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadline_testing.model_server", "--help"), stdout=asyncio.subprocess.PIPE
    )
    lines = (await command.communicate())[0].decode().splitlines()
    explained = {line.split()[0] for line in lines[lines.index("behaviours:") + 1 :]}
    assert explained == behaviour.BY_NAME.keys()
