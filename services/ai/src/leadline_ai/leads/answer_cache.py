"""The answer cache of leads: stored answers are used again, missing ones are requested and stored."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leadline_ai.budget.reservations import Account, Reservations
from leadline_ai.cache.keyed_lock import KeyedLock
from leadline_ai.cache.retry import retry_until_stored
from leadline_ai.cache.store import AnswerStore, StoredAnswer
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.failures import Failure
from leadline_ai.leads.answers import Answer, Judged
from leadline_ai.leads.assessor import ModelAssessor
from leadline_ai.leads.prompt import lead_data
from leadline_contracts.errors import Transient, Unavailable
from leadline_contracts.scoring import AiSpend, Lead, LeadsAccepted, Offer
from leadline_contracts.topology import MAX_ATTEMPTS

_NOTE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ChunkAnswers:
    """For each lead id a stored answer or why there is none; and what the chunk's run has spent."""

    outcomes: Mapping[str, StoredAnswer | Failure]
    spend: AiSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadAnswerCache:
    """Answers by (owner, offer, lead, prompt version, provider and model): the same input, the same answer.

    What offer and lead say counts, not their ids, so that a file uploaded again costs nothing. An answer is
    stored before it is given out: after a crash only the requests that were in flight are made again.
    """

    assessor: ModelAssessor
    store: AnswerStore
    reservations: Reservations
    cancelled_runs: CancelledRuns
    _lock: KeyedLock = field(default_factory=KeyedLock)

    async def answer(self, chunk: LeadsAccepted, attempt: int) -> ChunkAnswers:
        """Answer for every lead of the chunk, in the `attempt`-th delivery of its message (1 at first).

        A refresh run uses only answers that it paid for itself. Once the run is cancelled, nobody is asked
        about the rest of its leads. Raises Unavailable; and Transient where a
        lead has to wait for longer than a message may be held, and the message will be redelivered.
        """
        async with self._lock.hold((chunk.run_id, chunk.chunk)):
            return await self._look_up(chunk, attempt)

    async def _look_up(self, chunk: LeadsAccepted, attempt: int) -> ChunkAnswers:
        keys = self.keys(chunk.offer, chunk.leads)
        known = await self.store.answers(chunk.owner, set(keys.values()))
        if chunk.refresh:
            known = {key: answer for key, answer in known.items() if answer.run_id == chunk.run_id}
        missing = {keys[lead.id]: lead for lead in chunk.leads if keys[lead.id] not in known}
        planned = self.assessor.planned(chunk.offer, list(missing.values()))

        async def wanted() -> bool:
            return not await self.cancelled_runs.includes(chunk.owner, chunk.run_id)

        async with self.reservations.account(chunk.owner, chunk.run_id, planned, wanted=wanted) as account:
            account.count_cached(sum(key in known for key in keys.values()))
            answers, failures = await self._ask(chunk, missing, attempt, account)
        by_key: dict[str, StoredAnswer | Failure] = {**failures, **known, **answers}
        return ChunkAnswers({lead_id: by_key[key] for lead_id, key in keys.items()}, account.spend)

    async def _ask(
        self, chunk: LeadsAccepted, missing: Mapping[str, Lead], attempt: int, account: Account
    ) -> tuple[dict[str, StoredAnswer], dict[str, Failure]]:
        """Ask the model; return the answers, now stored, and the failures, each by key."""
        if not missing:
            return {}, {}
        keys = {lead.id: key for key, lead in missing.items()}
        new: dict[str, StoredAnswer] = {}

        async def keep(answers: Sequence[Answer]) -> None:
            stored = [self._stored(chunk.run_id, keys[answer.lead_id], answer) for answer in answers]
            await retry_until_stored(lambda: self.store.keep_answers(chunk.owner, stored))
            new.update((answer.key, answer) for answer in stored)

        async def note_calls() -> None:
            made = {lead_id: number for lead_id, number in calls.items() if number}
            await retry_until_stored(lambda: self.store.note_calls(chunk.run_id, made))

        calls = await self.store.calls(chunk.run_id, keys)
        leads = list(missing.values())
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
            refused = [failure.subject for failure in failures if failure.kind == "refused"]
            calls.update(dict.fromkeys(refused, self.assessor.calls_a_lead))
            await note_calls()
        later = [failure.error for failure in failures if failure.kind == "later"]
        if later and attempt < MAX_ATTEMPTS:
            raise Transient(later[0])
        return new, {keys[failure.subject]: failure for failure in failures}

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
