"""Requests to a language model about leads: several a request, until each has an outcome or no call left."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from leadline_ai.budget.prices import Price
from leadline_ai.budget.reservations import Account, BudgetSpent
from leadline_ai.failures import Failure, FailureKind
from leadline_ai.leads.answers import Answer, Outcome
from leadline_ai.leads.prompt import ANSWER_SCHEMA, Prompt, Reading, read_answers
from leadline_ai.limiter.breaker import CallNotPermitted
from leadline_ai.providers.asker import MESSAGE_SECONDS, Asker, backoff
from leadline_ai.providers.port import ProviderFailure, Question, Reply, Stop
from leadline_contracts.scoring import Lead, Offer

# Bounds on the tokens of an answer, thoughts included; only those that the model uses are paid for.
_TOKENS_A_REQUEST, _TOKENS_A_LEAD = 2_048, 256

Keep = Callable[[Sequence[Answer]], Awaitable[None]]
"""Returns when the answers are stored."""


@dataclass(slots=True, kw_only=True)
class _Job:
    """One chunk's leads under way: the calls made for each, and its latest outcome."""

    offer: Offer
    account: Account
    keep: Keep
    calls: dict[str, int]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    deadline: float = field(default_factory=lambda: time.monotonic() + MESSAGE_SECONDS)

    def count(self, leads: Sequence[Lead]) -> None:
        for lead in leads:
            self.calls[lead.id] = self.calls.get(lead.id, 0) + 1

    def fail(self, leads: Sequence[Lead], kind: FailureKind, error: str) -> None:
        self.outcomes.update((lead.id, Failure(lead.id, kind, error)) for lead in leads)

    async def take(self, answers: Sequence[Answer]) -> None:
        await self.keep(answers)
        self.outcomes.update((answer.lead_id, answer) for answer in answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAssessor:
    """Owns all retries: a lead is in at most `calls_a_lead` requests, repairs and splits included.

    `leads_per_request` share a request at first. Before a request is sent again to a failing provider it
    waits `first_wait` seconds, doubled each time up to `longest_wait`, and up to a quarter more so that
    replicas do not return at the same moment.
    """

    asker: Asker
    prompt: Prompt
    price: Price
    leads_per_request: int
    calls_a_lead: int
    first_wait: float = 0.5
    longest_wait: float = 20.0

    async def assess(
        self, offer: Offer, leads: Sequence[Lead], account: Account, keep: Keep, calls: dict[str, int]
    ) -> dict[str, Outcome]:
        """Ask about leads, whose ids must be unique, and hand answers to `keep` before they count.

        `calls` is how many calls a lead has had before, and is counted on in place, whatever the end.
        Raises Unavailable where the store does not answer; what was in hand was kept before that.
        """
        job = _Job(offer=offer, account=account, keep=keep, calls=calls)
        job.fail(leads, "unavailable", "its calls were spent before, none with a usable answer")
        await _all(self._work(job, group) for group in self._groups(leads))
        return job.outcomes

    def planned(self, offer: Offer, leads: Sequence[Lead]) -> int:
        """Return what the first round of requests may cost at most, in 10^-9 dollars."""
        return sum(self.price.bound(question) for question in self.questions(offer, leads))

    def questions(self, offer: Offer, leads: Sequence[Lead]) -> list[Question]:
        """Return the first round of requests."""
        return [self._question(offer, group) for group in self._groups(leads)]

    def _groups(self, leads: Sequence[Lead]) -> list[Sequence[Lead]]:
        size = self.leads_per_request
        return [leads[start : start + size] for start in range(0, len(leads), size)]

    def _question(self, offer: Offer, leads: Sequence[Lead], fault: str = "") -> Question:
        prefix = self.prompt.prefix(offer)
        return Question(
            system=self.prompt.system,
            prefix=prefix,
            body=self.prompt.body(leads, fault),
            schema=ANSWER_SCHEMA,
            max_tokens=_TOKENS_A_REQUEST + _TOKENS_A_LEAD * len(leads),
            prefix_caches=self.price.caches(self.prompt.system, prefix),
        )

    async def _work(self, job: _Job, leads: Sequence[Lead], fault: str = "") -> None:
        """Request these leads together, and unanswered ones again, until each has an outcome.

        `fault` is what was wrong with the answer that this request is to repair.
        """
        leads = [lead for lead in leads if job.calls.get(lead.id, 0) < self.calls_a_lead]
        if not leads:
            return

        async def take(reply: Reply) -> tuple[Stop, Reading]:
            return reply.stop, await self._read(job, leads, reply)

        question = self._question(job.offer, leads, fault)
        try:
            stop, reading = await self.asker.ask(question, job.account, job.deadline, take)
        except CallNotPermitted as refusal:
            job.fail(leads, refusal.kind, str(refusal))
        except BudgetSpent as spent:
            job.fail(leads, "skipped_budget", str(spent))
        except ProviderFailure as failure:
            job.count(leads)
            await self._after_failure(job, leads, fault, failure)
        else:
            job.count(leads)
            await self._after_reply(job, leads, fault, stop, reading)

    async def _after_failure(
        self, job: _Job, leads: Sequence[Lead], fault: str, failure: ProviderFailure
    ) -> None:
        match failure.kind:
            case "misconfigured":
                job.fail(leads, "misconfigured", str(failure))
            case "declined":
                # Perhaps the provider declines only one of the leads; asked about each alone, it shows which.
                job.fail(leads, "refused", str(failure))
                await self._alone(job, leads if len(leads) > 1 else [])
            case "overloaded" | "unavailable":
                job.fail(leads, "unavailable", str(failure))
                made = min(job.calls[lead.id] for lead in leads)
                if made < self.calls_a_lead:
                    await asyncio.sleep(backoff(made, self.first_wait, self.longest_wait))
                # A single lead may make a provider fail, but not make it overloaded.
                again = self._work if failure.kind == "overloaded" else self._again
                await again(job, leads, fault)

    async def _read(self, job: _Job, leads: Sequence[Lead], reply: Reply) -> Reading:
        """Read a reply and store its usable answers."""
        if reply.stop is not Stop.COMPLETE:
            said = "the model stopped before its answer was complete"
            return Reading(faults={lead.id: said for lead in leads})
        reading = read_answers([lead.id for lead in leads], reply.text)
        if reading.answers:
            await job.take(reading.answers)
        else:
            job.account.count_failed()
        return reading

    async def _after_reply(
        self, job: _Job, leads: Sequence[Lead], fault: str, stop: Stop, reading: Reading
    ) -> None:
        match stop:
            case Stop.TRUNCATED:
                job.fail(leads, "unusable", "the answer was cut off, since it grew too long")
                await self._split(job, leads)
            case Stop.REFUSED:
                job.fail(leads, "refused", "the model declines to judge this lead")
                await self._alone(job, leads if len(leads) > 1 else [])
            case Stop.OTHER | Stop.COMPLETE:
                await self._repair(job, leads, fault, reading)

    async def _repair(self, job: _Job, leads: Sequence[Lead], fault: str, reading: Reading) -> None:
        """Request a repair of unusable answers once, naming the fault, then ask about each lead alone."""
        bad = [lead for lead in leads if lead.id in reading.faults]
        for lead in bad:
            job.fail([lead], "unusable", f"the answer could not be used: {reading.faults[lead.id]}")
        if fault:
            await self._alone(job, bad)
            return
        missing = set(reading.left_out) if reading.answers else set()
        wrong = [lead for lead in bad if lead.id not in missing]
        repair = [self._again(job, wrong, reading.faults[wrong[0].id])] if wrong else []
        await _all([*repair, self._alone(job, [lead for lead in bad if lead.id in missing])])

    async def _again(self, job: _Job, leads: Sequence[Lead], fault: str = "") -> None:
        """Ask again; where it is a lead's last call each alone, so that none fails because of another."""
        if max(job.calls[lead.id] for lead in leads) + 1 < self.calls_a_lead:
            await self._work(job, leads, fault)
        else:
            await self._alone(job, leads, fault)

    async def _alone(self, job: _Job, leads: Sequence[Lead], fault: str = "") -> None:
        await _all(self._work(job, [lead], fault) for lead in leads)

    async def _split(self, job: _Job, leads: Sequence[Lead]) -> None:
        middle = (len(leads) + 1) // 2
        await _all(self._again(job, half) for half in (leads[:middle], leads[middle:]) if half)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all, so that a failure loses no other's paid answer; then raise the first failure."""
    ends = await asyncio.gather(*works, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
