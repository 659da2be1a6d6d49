"""What tests of the Provider port share: the adapters, a question, and servers that answer by rote."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from leadline_ai.providers import anthropic, gemini, openai
from leadline_ai.providers.port import Provider, ProviderFailure, Question

KEY = "sk-test-b7f3c1"
BIO = "Breeds axolotls in Uppsala."
QUESTION = Question(
    system="You judge leads.",
    prefix="The offer: AI Outreach.",
    body=f"The lead: {BIO}",
    schema={
        "type": "object",
        "properties": {"intent": {"type": "string", "enum": ["High", "Low"]}},
        "required": ["intent"],
        "additionalProperties": False,
    },
    max_tokens=700,
)


@dataclass(frozen=True, slots=True)
class Case:
    """An adapter; `path` is what its base URL has behind the server's own address."""

    adapter: type[anthropic.AnthropicProvider | openai.OpenAiProvider | gemini.GeminiProvider]
    default_model: str
    key_variable: str
    path: str = ""

    def connect(self, address: str, key: str = KEY) -> Provider:
        """Return the adapter's instance that asks the server at this address."""
        return self.adapter(key, base_url=address + self.path)


CASES = {
    "anthropic": Case(anthropic.AnthropicProvider, anthropic.DEFAULT_MODEL, anthropic.KEY_VARIABLE),
    "openai": Case(openai.OpenAiProvider, openai.DEFAULT_MODEL, openai.KEY_VARIABLE, "/v1"),
    "gemini": Case(gemini.GeminiProvider, gemini.DEFAULT_MODEL, gemini.KEY_VARIABLE),
}


@contextlib.asynccontextmanager
async def connected(case: Case, address: str) -> AsyncIterator[Provider]:
    """An adapter that is closed at the end."""
    provider = case.connect(address)
    try:
        yield provider
    finally:
        await provider.close()


async def failure_of(provider: Provider, question: Question = QUESTION) -> ProviderFailure:
    """Return the failure that a question ends in."""
    try:
        reply = await provider.ask(question)
    except ProviderFailure as failure:
        return failure
    raise AssertionError(f"answered {reply}")


@dataclass(slots=True)
class Rote:
    """A server that says the same to every request; `lines` are the first lines of those it got."""

    address: str
    lines: list[str]


@contextlib.asynccontextmanager
async def saying(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> AsyncIterator[Rote]:
    """Run a server that answers with this body, as JSON unless it is text, and closes the connection."""
    lines: list[str] = []
    is_text = isinstance(body, str)
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    said = {"content-type": "text/html" if is_text else "application/json", "connection": "close"}
    said |= {"content-length": str(len(content))} | (headers or {})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines.append(head.split("\r\n")[0])
        told = [
            line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")
        ]
        await reader.readexactly(int(told[0]) if told else 0)
        rest = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{rest}\r\n".encode() + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield Rote(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines)


@contextlib.asynccontextmanager
async def facing(
    case: Case, body: object, status: int = 200, headers: dict[str, str] | None = None
) -> AsyncIterator[Provider]:
    """An adapter before a server that says the same to every request."""
    async with saying(body, status, headers) as server, connected(case, server.address) as provider:
        yield provider


@dataclass(slots=True)
class Hanging:
    """A server that begins an answer at most; `asked` and `left` tell what the client did."""

    address: str
    asked: asyncio.Event
    left: asyncio.Event


@contextlib.asynccontextmanager
async def hanging(begun: bytes) -> AsyncIterator[Hanging]:
    """Run a server that sends `begun` and then nothing, until the client closes the connection."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begun)
        await writer.drain()
        asked.set()
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass
        left.set()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        yield Hanging(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked, left)
