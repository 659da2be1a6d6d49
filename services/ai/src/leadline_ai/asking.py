"""One call to a provider: reserve, wait for the gate, ask within a deadline, and count what it took."""

import asyncio
import time
from dataclasses import dataclass

from leadline_ai.gate import Gate
from leadline_ai.metrics import AiMetrics
from leadline_ai.prices import input_tokens
from leadline_ai.provider import Provider, ProviderFailure, Question, Reply, Stop, Usage
from leadline_ai.spending import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Makes single calls; `call_seconds` is the whole time from sending to the last byte."""

    provider: Provider
    gate: Gate
    metrics: AiMetrics
    call_seconds: float

    async def ask(self, question: Question, account: Account, deadline: float) -> Reply:
        """Make one call, the gate letting it through before `deadline` (time.monotonic()).

        Raises ProviderFailure where the call failed; BudgetSpent and TurnedAway where none was made.
        """
        held = await account.hold(question)
        usage: Usage | None = None
        failed = True
        try:
            async with self.gate.passing(deadline):
                usage = Usage(input_tokens=input_tokens(question))  # as long as the provider has not told it
                try:
                    reply = await self._call(question)
                except ProviderFailure as failure:
                    usage = usage if failure.charged else Usage()
                    raise
                usage, failed = reply.usage, reply.stop is not Stop.COMPLETE
                self.gate.answered(reply.rest)
        finally:
            account.charge(held, usage, failed=failed)
        return reply

    async def _call(self, question: Question) -> Reply:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(self.call_seconds):
                reply = await self.provider.ask(question)
            outcome = reply.stop.value
        except TimeoutError:
            outcome = "unavailable"
            said = f"{self.provider.name} gave no answer within {self.call_seconds:g} s"
            raise ProviderFailure("unavailable", said, charged=True) from None
        except ProviderFailure as failure:
            outcome = failure.kind
            raise
        finally:
            self.metrics.count_call(self.provider.model, outcome, time.monotonic() - started)
        return reply
