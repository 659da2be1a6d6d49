"""The contract of the Provider port, held by every adapter through its real SDK against local servers."""

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from leadline_ai.providers.port import Provider, ProviderFailure, Stop, Usage
from leadline_common.telemetry.tracing import continued, within
from leadline_contracts.errors import SettingsError
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_request import user_texts_of
from leadline_testing.model_server import ModelServer
from leadline_testing.tables import every_row

from .provider_cases import BIO, CASES, KEY, QUESTION, Case, connected, facing, failure_of, hanging, saying

# google-genai 3.4 makes a subclass that aiohttp 3.14 advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

PREFIX_OF_5000_TOKENS = replace(QUESTION, system="Judge. " * 3_000, prefix_caches=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
async def provider(case: Case, server: ModelServer) -> AsyncIterator[Provider]:
    async with connected(case, server.base_url) as made:
        yield made


async def test_a_question_is_one_request_with_its_parts_in_order(
    server: ModelServer, provider: Provider, case: Case
) -> None:
    """System, prefix and body reach the model as they are, with the schema, the bound and the key."""
    await provider.ask(QUESTION)

    request = server.requests[-1]
    assert server.count == 1
    assert request.model == provider.model == case.default_model
    assert request.system == QUESTION.system
    assert request.user_text == f"{QUESTION.prefix}\n{QUESTION.body}"
    assert request.schema == QUESTION.schema
    assert "700" in str(request.body)
    assert KEY in str(request.headers)


async def test_a_provider_is_not_told_of_our_traces(server: ModelServer, provider: Provider) -> None:
    """Trace ids, and what our callers noted beside them, stay with us, though an SDK may know how to tell."""
    with within(continued(f"00-{'1' * 32}-{'2' * 16}-01 vendor=noted")):
        await provider.ask(QUESTION)

    told = str(server.requests[-1].headers)
    assert "1" * 32 not in told
    assert "noted" not in told


async def test_a_question_without_prefix_is_taken(server: ModelServer, provider: Provider) -> None:
    """A step of a workflow shares nothing with others: no empty text goes out, which an API would refuse."""
    assert (await provider.ask(replace(QUESTION, prefix=""))).stop is Stop.COMPLETE
    assert server.requests[-1].user_text.strip() == QUESTION.body


def test_an_instance_says_what_it_asks_and_where(case: Case) -> None:
    """Stored answers belong to one adapter, model and endpoint."""
    named = case.adapter(KEY, model="one", base_url="http://127.0.0.1:9/v1")
    public = case.adapter(KEY)

    assert CASES[named.name] is case
    assert (named.model, named.endpoint) == ("one", "http://127.0.0.1:9/v1")
    assert (public.model, public.endpoint) == (case.default_model, "")


@every_row("text", ['{"intent": "High"}', " {Größe\n\u202e\U0001f600\x00 ", "no JSON", ""])
async def test_the_text_comes_back_as_it_was_sent(case: Case, text: str) -> None:
    """Nothing is parsed, trimmed or put right on the way."""
    async with ModelServer(answer=lambda _body: text) as server, connected(case, server.base_url) as provider:
        reply = await provider.ask(QUESTION)

    assert reply.text == text
    assert reply.stop is Stop.COMPLETE


async def test_thoughts_are_counted_and_not_taken_for_the_answer(
    server: ModelServer, provider: Provider
) -> None:
    """What a model thinks is paid for like what it says, and is no part of the answer."""
    plain = await provider.ask(QUESTION)
    server.behave(default=behaviour.THINKING)
    thinking = await provider.ask(QUESTION)

    assert thinking.text == plain.text
    assert thinking.usage.output_tokens > plain.usage.output_tokens > 0
    assert thinking.usage.input_tokens == plain.usage.input_tokens > 0


async def test_cached_tokens_are_told_apart_from_the_rest_of_the_input(provider: Provider) -> None:
    """Cached tokens have a price of their own, and none is counted twice."""
    first = (await provider.ask(PREFIX_OF_5000_TOKENS)).usage
    again = (await provider.ask(PREFIX_OF_5000_TOKENS)).usage

    assert first.cache_read_tokens == 0
    assert again.cache_read_tokens > 5_000 > again.input_tokens
    assert total_input(first) == total_input(again)


@pytest.mark.parametrize(
    ("treated", "stop"),
    [
        (behaviour.OK, Stop.COMPLETE),
        (behaviour.TRUNCATED, Stop.TRUNCATED),
        (behaviour.REFUSED, Stop.REFUSED),
        (behaviour.REFUSED_MIDWAY, Stop.REFUSED),
    ],
)
async def test_a_reply_tells_why_the_model_stopped(
    server: ModelServer, provider: Provider, treated: Behaviour, stop: Stop
) -> None:
    """A cut or a refused answer is never taken for a complete one, and both are paid for."""
    server.behave(default=treated)

    reply = await provider.ask(QUESTION)

    assert reply.stop is stop
    assert reply.usage != Usage()


@pytest.mark.parametrize(
    ("treated", "kind", "words"),
    [
        (behaviour.RATE_LIMITED, "overloaded", "429"),
        (behaviour.OVERLOADED, "overloaded", "too much to do"),
        (behaviour.SERVER_ERROR, "unavailable", "500"),
        (behaviour.DROPPED, "unavailable", "connection"),
        (behaviour.DECLINED, "declined", "400"),
        (behaviour.WRONG_KEY, "misconfigured", "_API_KEY"),
        (behaviour.UNKNOWN_MODEL, "misconfigured", "LEADLINE_AI_MODEL"),
    ],
)
async def test_each_failure_is_told_apart_after_one_request(
    server: ModelServer, provider: Provider, treated: Behaviour, kind: str, words: str
) -> None:
    """The SDK tries nothing again on its own, and the text says what a person would have to set."""
    server.behave(default=treated)

    failure = await failure_of(provider)

    assert failure.kind == kind
    assert failure.charged is treated.drop
    assert words in str(failure)
    assert server.count == 1


@every_row(
    ("status", "kind", "charged"),
    [
        (402, "misconfigured", False),
        (403, "misconfigured", False),
        (405, "misconfigured", False),
        (408, "unavailable", True),
        (409, "unavailable", False),
        (413, "declined", False),
        (422, "declined", False),
        (502, "unavailable", True),
        (503, "overloaded", False),
        (504, "unavailable", True),
    ],
)
async def test_a_status_alone_is_understood(case: Case, status: int, kind: str, charged: bool) -> None:
    """Proxies and local servers answer with pages of their own; a gateway that gave up may cost money."""
    async with saying("<p>Sorry</p>", status) as server, connected(case, server.address) as provider:
        failure = await failure_of(provider)

    assert (failure.kind, failure.charged) == (kind, charged)
    assert len(server.lines) == 1


@pytest.mark.parametrize("asked", [7.5, None])
async def test_the_pause_a_provider_asks_for_is_passed_on(
    server: ModelServer, provider: Provider, asked: float | None
) -> None:
    """Each provider says it in its own way; the caller learns seconds, or that nothing was said."""
    server.behave(default=replace(behaviour.RATE_LIMITED, retry_after=asked))

    assert (await failure_of(provider)).retry_after == asked


async def test_a_reply_tells_no_rest_where_none_is_asked_for(provider: Provider) -> None:
    """Work goes on at once unless the headers say that nothing is left."""
    assert (await provider.ask(QUESTION)).cooldown == 0


@every_row("body", ["Sign in", "", {}, [], 3, None, {"choices": []}, {"error": "x"}])
async def test_a_200_that_is_no_message_is_a_failure_that_may_cost_money(case: Case, body: object) -> None:
    """The page of a captive portal or a proxy is neither an answer nor an exception of the SDK's."""
    async with facing(case, body) as provider:
        failure = await failure_of(provider)

    assert (failure.kind, failure.charged) == ("unavailable", True)
    assert "no message" in str(failure)


async def test_a_server_that_is_not_there_is_told_from_one_that_hangs_up(case: Case) -> None:
    """What never left this machine costs nothing."""
    async with connected(case, f"http://127.0.0.1:{free_port()}") as provider:
        failure = await failure_of(provider)
        with pytest.raises(ProviderFailure, match="out of reach") as checked:
            await provider.check()

    assert (failure.kind, failure.charged) == ("unavailable", False)
    assert checked.value.kind == "unavailable"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{"])
async def test_a_cancelled_question_ends_its_request(case: Case, begun: bytes) -> None:
    """A deadline that is over leaves no request behind, whether or not the answer has begun."""
    async with hanging(begun) as server, connected(case, server.address) as provider:
        asking = asyncio.create_task(provider.ask(QUESTION))
        await asyncio.wait_for(server.asked.wait(), 60)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(server.left.wait(), 60)


async def test_an_instance_goes_on_after_a_cancelled_question(
    server: ModelServer, provider: Provider
) -> None:
    """A deadline concerns one question; the next gets its own answer and not the rest of that one."""
    server.behave(behaviour.TRICKLE, behaviour.SLOW)
    for number in (1, 2):
        asking = asyncio.create_task(provider.ask(QUESTION))
        while server.count < number:  # noqa: ASYNC110 - the server tells no event
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    reply = await provider.ask(QUESTION)

    assert reply.stop is Stop.COMPLETE
    assert server.count == 3


async def test_many_questions_at_once_get_their_own_answers(case: Case) -> None:
    """Connections are shared; answers are not."""
    questions = [replace(QUESTION, body=f"Lead {number}") for number in range(100)]
    async with (
        ModelServer(answer=lambda body: user_texts_of(body)[-1]) as server,
        connected(case, server.base_url) as provider,
    ):
        replies = await asyncio.gather(*map(provider.ask, questions))

    assert [reply.text.split("\n")[-1] for reply in replies] == [question.body for question in questions]


async def test_a_check_asks_for_the_model_and_nothing_else(server: ModelServer, provider: Provider) -> None:
    """It costs no tokens."""
    await provider.check()

    assert (server.checks, server.count) == (1, 0)


@pytest.mark.parametrize(
    ("treated", "kind", "words"),
    [
        (behaviour.WRONG_KEY, "misconfigured", "_API_KEY"),
        (behaviour.UNKNOWN_MODEL, "misconfigured", "LEADLINE_AI_MODEL"),
        (behaviour.DROPPED, "unavailable", "connection"),
    ],
)
async def test_a_check_tells_what_is_wrong(
    server: ModelServer, provider: Provider, treated: Behaviour, kind: str, words: str
) -> None:
    """A wrong key or model is known before a lead is sent."""
    server.behave(default=treated)

    with pytest.raises(ProviderFailure, match=words) as raised:
        await provider.check()

    assert raised.value.kind == kind


@every_row("status", [200, 404, 405, 501])
@every_row("body", ["<p>Hello</p>", {"detail": "Not Found"}, {}, []])
async def test_a_check_passes_where_the_server_cannot_tell(case: Case, status: int, body: object) -> None:
    """A local server that imitates nothing but the main route is taken as it is."""
    async with saying(body, status) as server, connected(case, server.address) as provider:
        await provider.check()

    assert len(server.lines) == 1


@every_row(("status", "kind"), [(402, "misconfigured"), (429, "overloaded"), (500, "unavailable")])
async def test_a_check_fails_as_a_question_does(case: Case, status: int, kind: str) -> None:
    """Trouble that may pass is reported as such, so that the check is made again."""
    async with facing(case, "<p>Sorry</p>", status) as provider:
        with pytest.raises(ProviderFailure) as raised:
            await provider.check()

    assert raised.value.kind == kind


@pytest.mark.parametrize(
    "treated",
    [
        *(behaviour.OK, behaviour.THINKING, behaviour.TRICKLE, behaviour.RATE_LIMITED, behaviour.OVERLOADED),
        *(behaviour.SERVER_ERROR, behaviour.DROPPED, behaviour.DECLINED, behaviour.WRONG_KEY),
        behaviour.UNKNOWN_MODEL,
    ],
)
async def test_neither_key_nor_lead_text_is_ever_logged(
    server: ModelServer,
    case: Case,
    treated: Behaviour,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not even at DEBUG, at which the SDKs write whole requests."""
    server.behave(default=treated)
    with caplog.at_level(logging.DEBUG):
        async with connected(case, server.base_url) as provider:
            with contextlib.suppress(ProviderFailure, TimeoutError):
                async with asyncio.timeout(1.0):
                    await provider.ask(QUESTION)

    told = caplog.text + "".join(capsys.readouterr())
    assert server.count == 1
    assert KEY not in told
    assert BIO not in told


@every_row("status", [200, 400, 401, 402, 404, 409, 429, 500, 503])
async def test_a_failure_repeats_nothing_the_provider_said(case: Case, status: int) -> None:
    """A provider may quote what was sent; the text is one line of ours, and no traceback shows its words."""
    quoting = {"message": BIO, "type": f"{BIO}\n{KEY}", "status": BIO, "code": KEY, "details": [BIO]}
    async with facing(case, {"error": quoting}, status) as provider:
        failure = await failure_of(provider)

    told = "".join(traceback.format_exception(failure))
    assert "\n" not in str(failure)
    assert BIO not in told
    assert KEY not in told


@every_row("key", ["", "  ", "sk-one\nsk-two", "sk-тест", "sk one"])
def test_what_cannot_be_a_key_is_refused_without_quoting_it(case: Case, key: str) -> None:
    """A key broken in copying is named as such at start, where it would else look like a network failure."""
    with pytest.raises(SettingsError, match=case.key_variable) as raised:
        case.adapter(key)

    assert "sk" not in str(raised.value)


async def test_space_around_a_key_is_left_out(server: ModelServer, case: Case) -> None:
    """A file's last line end does no harm."""
    provider = case.connect(server.base_url, f" {KEY}\n")
    await provider.ask(QUESTION)
    await provider.close()

    assert any(value.endswith(KEY) for value in server.requests[-1].headers.values())


async def test_the_proxy_of_the_environment_is_used(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's network lets nothing out but through its proxy."""
    async with saying("<p>Blocked</p>", 418) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with connected(case, "http://model.invalid") as provider:
            failure = await failure_of(provider)

    assert failure.kind == "declined"
    assert proxy.lines[0].startswith("POST http://model.invalid/")


async def test_closing_twice_is_safe(server: ModelServer, case: Case) -> None:
    """The composition root closes in every case, whatever was closed before."""
    for used in (True, False):
        provider = case.connect(server.base_url)
        if used:
            await provider.ask(QUESTION)
        await provider.close()
        await provider.close()

    assert server.count == 1


def total_input(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
