"""One call to a provider: reserve, wait for a slot, ask within a deadline, and count its cost."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from leadline_ai.budget.prices import input_tokens
from leadline_ai.budget.reservations import Account
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CallNotPermitted
from leadline_ai.metrics import AiMetrics
from leadline_ai.providers.port import Provider, ProviderFailure, Question, Reply, Stop, Usage
from leadline_common.telemetry.tracing import Attributes, calling
from leadline_contracts.scoring import CANCELLED

T = TypeVar("T")

_NAMES = {"gemini": "gcp.gemini"}
"""Of providers that have another name in OpenTelemetry's conventions."""

MESSAGE_SECONDS = 150.0
"""Seconds after which no call for a message begins; the longest call then still ends in a message's time."""


def backoff(made: int, first: float, longest: float) -> float:
    """Return how many seconds to wait after the `made`-th call to a failing provider.

    `first`, doubled each time up to `longest`, and up to a quarter more, so that replicas do not return
    at the same moment.
    """
    return min(first * 2.0 ** (made - 1), longest) * random.uniform(1.0, 1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Makes single calls; `call_seconds` is the whole time from sending to the last byte."""

    provider: Provider
    limiter: AdaptiveLimiter
    metrics: AiMetrics
    call_seconds: float
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Make no further call: whoever is about to make one is cancelled. Calls under way are not."""
        self._stopped.set()

    async def ask(
        self, question: Question, account: Account, deadline: float, take: Callable[[Reply], Awaitable[T]]
    ) -> T:
        """Make one call, begun before `deadline` (time.monotonic()); return what `take` makes of the reply.

        The call keeps its slot until `take` has returned, so that answers which are not stored yet are never
        more than the calls under way. Raises ProviderFailure where the call failed; BudgetSpent and
        CallNotPermitted where none was made; and what `take` raises.
        """
        reserved = await self._reserve(question, account, deadline)
        usage: Usage | None = None
        failed = True
        try:
            async with self.limiter.slot(deadline):
                if self._stopped.is_set():
                    raise asyncio.CancelledError
                if not await account.wanted():
                    raise CallNotPermitted("cancelled", CANCELLED)
                usage = Usage(input_tokens=input_tokens(question))  # as long as the provider has not told it
                try:
                    reply = await self._call(question)
                except ProviderFailure as failure:
                    usage = usage if failure.charged else Usage()
                    raise
                usage, failed = reply.usage, reply.stop is not Stop.COMPLETE
                self.limiter.record_success(reply.cooldown)
                return await take(reply)
        finally:
            account.charge(reserved, usage, failed=failed)

    async def _reserve(self, question: Question, account: Account, deadline: float) -> int:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await account.reserve(question)
        except TimeoutError:
            raise CallNotPermitted(
                "later", "the time for its chunk was over before there was money"
            ) from None

    async def _call(self, question: Question) -> Reply:
        with calling(f"chat {self.provider.model}", self._attributes(question)) as span:
            started = time.monotonic()
            outcome = "cancelled"
            try:
                async with asyncio.timeout(self.call_seconds):
                    reply = await self.provider.ask(question)
                outcome = reply.stop.value
                span.set_attributes(_attributes_of(reply))
            except TimeoutError:
                outcome = "unavailable"
                said = f"{self.provider.name} gave no answer within {self.call_seconds:g} s"
                raise ProviderFailure("unavailable", said, charged=True) from None
            except ProviderFailure as failure:
                outcome = failure.kind
                raise
            finally:
                self.metrics.count_call(self.provider.model, outcome, time.monotonic() - started)
                span.set_attribute("leadline.outcome", outcome)
        return reply

    def _attributes(self, question: Question) -> Attributes:
        """Return what a span tells of a call, which is nothing of what is asked."""
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _NAMES.get(self.provider.name, self.provider.name),
            "gen_ai.request.model": self.provider.model,
            "gen_ai.request.max_tokens": question.max_tokens,
        }


def _attributes_of(reply: Reply) -> Attributes:
    usage = reply.usage
    return {
        "gen_ai.response.finish_reasons": [reply.stop.value],
        "gen_ai.usage.input_tokens": usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
