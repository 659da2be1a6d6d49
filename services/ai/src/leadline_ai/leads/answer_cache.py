"""Answers that cost money: what the owner has bought before is used again, the rest is asked for and kept."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leadline_ai.budget.reservations import Account, Spending
from leadline_ai.cache.keyed_lock import Turns
from leadline_ai.cache.retry import at_last
from leadline_ai.leads.answers import Answer, Failure, Judged
from leadline_ai.leads.assessor import ModelAssessor
from leadline_ai.leads.prompt import lead_data
from leadline_ai.store import AiStore, StoredAnswer
from leadline_contracts.errors import Transient, Unavailable
from leadline_contracts.scoring import AiSpend, Lead, LeadsAccepted, Offer
from leadline_contracts.topology import MAX_ATTEMPTS

_NOTE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bought:
    """What came of a chunk: by lead id a stored answer or why there is none; and what its run has spent."""

    outcomes: Mapping[str, StoredAnswer | Failure]
    spend: AiSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtAnswers:
    """Answers by (owner, offer, lead, prompt version, provider and model): the same input, the same answer.

    What offer and lead say counts, not their ids, so that a file uploaded again costs nothing. An answer is
    stored before it is given out: after a crash only the requests that were in flight are made again.
    """

    assessor: ModelAssessor
    store: AiStore
    spending: Spending
    _turns: Turns = field(default_factory=Turns)

    async def of(self, chunk: LeadsAccepted, attempt: int) -> Bought:
        """Answer for every lead of the chunk, in the `attempt`-th delivery of its message (1 at first).

        A run that asks for new answers takes none but its own. Raises Unavailable; and Transient, where a
        lead has to wait for longer than a message may be held and the message will come again.
        """
        async with self._turns.of((chunk.run_id, chunk.chunk)):
            return await self._answer(chunk, attempt)

    async def _answer(self, chunk: LeadsAccepted, attempt: int) -> Bought:
        keys = self.keys(chunk.offer, chunk.leads)
        known = await self.store.answers(chunk.owner, set(keys.values()))
        if chunk.refresh:
            known = {key: answer for key, answer in known.items() if answer.run_id == chunk.run_id}
        lacking = {keys[lead.id]: lead for lead in chunk.leads if keys[lead.id] not in known}
        planned = self.assessor.planned(chunk.offer, list(lacking.values()))
        async with self.spending.account(chunk.owner, chunk.run_id, planned) as account:
            account.count_cached(sum(key in known for key in keys.values()))
            answers, failures = await self._buy(chunk, lacking, attempt, account)
        by_key: dict[str, StoredAnswer | Failure] = {**failures, **known, **answers}
        return Bought({lead_id: by_key[key] for lead_id, key in keys.items()}, account.spend)

    async def _buy(
        self, chunk: LeadsAccepted, lacking: Mapping[str, Lead], attempt: int, account: Account
    ) -> tuple[dict[str, StoredAnswer], dict[str, Failure]]:
        """Return by key what was bought, and what could not be."""
        if not lacking:
            return {}, {}
        keys = {lead.id: key for key, lead in lacking.items()}
        bought: dict[str, StoredAnswer] = {}

        async def keep(answers: Sequence[Answer]) -> None:
            stored = [self._stored(chunk.run_id, keys[answer.lead_id], answer) for answer in answers]
            await at_last(lambda: self.store.keep_answers(chunk.owner, stored))
            bought.update((answer.key, answer) for answer in stored)

        async def note_calls() -> None:
            made = {lead_id: number for lead_id, number in calls.items() if number}
            await at_last(lambda: self.store.note_calls(chunk.run_id, made))

        calls = await self.store.calls(chunk.run_id, keys)
        leads = list(lacking.values())
        try:
            outcomes = await self.assessor.assess(chunk.offer, leads, account, keep, calls)
        except Unavailable:
            await note_calls()
            raise
        except BaseException:  # cancelled, too: the message comes again, and its calls count on
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_NOTE_SECONDS):
                    await note_calls()
            raise
        failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
        if failures:
            refused = [failure.lead_id for failure in failures if failure.kind == "refused"]
            calls.update(dict.fromkeys(refused, self.assessor.calls_a_lead))
            await note_calls()
        later = [failure.error for failure in failures if failure.kind == "later"]
        if later and attempt < MAX_ATTEMPTS:
            raise Transient(later[0])
        return bought, {keys[failure.lead_id]: failure for failure in failures}

    def keys(self, offer: Offer, leads: Sequence[Lead]) -> dict[str, str]:
        """Return by lead id the key of all that the lead's answer depends on."""
        provider, prompt = self.assessor.asker.provider, self.assessor.prompt
        asked = (prompt.version, provider.name, provider.model, provider.endpoint, prompt.prefix(offer))
        common = hashlib.sha256("\x1f".join(asked).encode())
        keys = {}
        for lead in leads:
            key = common.copy()
            key.update(f"\x1f{lead_data(lead)}".encode())
            keys[lead.id] = key.hexdigest()
        return keys

    def _stored(self, run_id: str, key: str, answer: Answer) -> StoredAnswer:
        provider = self.assessor.asker.provider
        return StoredAnswer(
            key=key,
            run_id=run_id,
            answer=Judged(
                intent=answer.intent, confidence=answer.confidence, reasoning=answer.reasoning
            ).model_dump_json(),
            source=provider.name,
            assessor=provider.model,
            prompt=self.assessor.prompt.version,
        )
