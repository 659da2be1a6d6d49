"""Redriving stalled runs over a real store and the embedded broker, with a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.ids import new_id
from leadline_contracts.envelope import Contract
from leadline_contracts.scoring import (
    CHUNK_SIZE,
    AiChunkScored,
    LeadsAccepted,
    LeadsFailed,
    ResultsScored,
    RulesScored,
    RunFinished,
)
from leadline_contracts.topology import AI, RESULT_AI, RESULT_LEADS, RESULT_RULES, RULES, RUN_EVENTS, Queue
from leadline_results.runs.handler import MergeHandler
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.record import Key, Status
from leadline_results.runs.redrive import MAX_REDRIVES, Redrive
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Run
from leadline_results.runs.tracker import Tracker

from .builders import OFFER, Clock, all_of, by_ai, by_rules, chunk, drained, published, started


class Service:
    """A results service whose consumer and loops move when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = SqliteResultStore(folder / "results.db")
        self.broker = EmbeddedBroker(folder / "broker.db")
        self.metrics = ResultMetrics(CollectorRegistry())
        self.tracker = Tracker(self.store, self.broker, self.clock, self.metrics)
        self.handler = MergeHandler(self.store, self.tracker, self.clock, self.metrics)
        self.redrive = Redrive(
            self.store,
            self.broker,
            self.tracker,
            self.clock,
            self.metrics,
            stall_time=timedelta(minutes=10),
        )

    async def hear(
        self, *contracts: LeadsAccepted | RulesScored | AiChunkScored, total: int, refresh: bool = False
    ) -> str:
        """Handle the messages of a run of that many leads; return the run's id."""
        run_id = contracts[0].run_id
        await self.tracker.register(started(run_id, refresh=refresh))
        events = await self.handler.handle([chunk_message(contract) for contract in contracts])
        await self.broker.publish(events)
        await self.tracker.register(published(run_id, total))
        return run_id

    async def stand_still(self, minutes: float = 10) -> None:
        """Let time pass without anything happening, then redrive, count, and merge what that brought."""
        await self.settle()
        self.clock.advance(minutes=minutes)
        await self.redrive.redrive_stalled()
        await self.settle()

    async def settle(self) -> None:
        """Count the scheduled runs and merge the answers that wait, as the loop and the consumer do."""
        await self.count()
        for queue in (RESULT_RULES, RESULT_AI):
            answers = await drained(self.broker, queue)
            await self.broker.publish(await self.handler.handle(answers))
        await self.count()

    async def count(self) -> None:
        """Look after every run at once, which the service's own tracker does in its time."""
        tracker = Tracker(self.store, self.broker, self.clock, self.metrics)
        tracker.schedule([run.run_id for run in await self.store.unfinished_runs()])
        await tracker.count_due()

    async def run(self, run_id: str) -> Run:
        """The run, which is known."""
        run = await self.store.run(run_id)
        assert run is not None
        return run

    async def asked(self, queue: Queue) -> list[LeadsAccepted]:
        """Take what a layer was asked."""
        return [LeadsAccepted.decode(message.body) for message in await drained(self.broker, queue)]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A results service over empty files."""
    made = Service(tmp_path)
    yield made
    await made.broker.close()
    await made.store.close()


def lead_ids(chunks: Sequence[LeadsAccepted]) -> list[str]:
    """The leads of the chunks."""
    return sorted(lead.id for leads in chunks for lead in leads.leads)


def partly_answered() -> list[LeadsAccepted | RulesScored | AiChunkScored]:
    """Four leads: `none` is answered by nobody, `rules` and `ai` by one layer, `both` by both."""
    run_id = new_id()
    return [
        chunk("none", "rules", "ai", "both", run_id=run_id),
        by_rules(chunk("rules", "both", run_id=run_id)),
        by_ai(chunk("ai", "both", run_id=run_id)),
    ]


async def test_each_layer_is_asked_again_for_what_it_lacks(service: Service) -> None:
    """A redrive of a stalled run requests only its missing answers, only from the layers that owe them."""
    run_id = await service.hear(*partly_answered(), total=4)
    await service.stand_still(minutes=9.9)
    assert await service.asked(RULES) == await service.asked(AI) == []
    await service.stand_still(minutes=10)
    by_rules_again, by_ai_again = await service.asked(RULES), await service.asked(AI)
    assert lead_ids(by_rules_again) == ["ai", "none"]
    assert lead_ids(by_ai_again) == ["none", "rules"]
    [again] = by_ai_again
    assert (again.run_id, again.offer, again.upload_id, again.owner) == (run_id, OFFER, "upload", "local")
    assert again.leads[0].name == "Name of none"


@pytest.mark.parametrize("refresh", [True, False])
async def test_what_is_asked_again_is_asked_as_the_run_was(service: Service, refresh: bool) -> None:
    """A run that wants new AI answers does not get stored ones because a message was lost."""
    await service.hear(chunk("a", run_id=new_id()), total=1, refresh=refresh)
    await service.stand_still()
    assert [leads.refresh for leads in await service.asked(AI)] == [refresh]


async def test_what_never_comes_is_failed_after_two_askings_and_the_run_ends(service: Service) -> None:
    """Answers still missing after two redrives are failed as timed out and published so, and the run ends."""
    run_id = await service.hear(*partly_answered(), total=4)
    for asking in range(1, MAX_REDRIVES + 1):
        await service.stand_still()
        assert (len(await service.asked(RULES)), len(await service.asked(AI))) == (1, 1)
        assert (await service.run(run_id)).nudges == asking
    assert (await service.run(run_id)).finished_at is None
    await service.stand_still()
    assert await service.asked(RULES) == await service.asked(AI) == []
    records = await service.store.load([Key(run_id, lead) for lead in ("none", "rules", "ai", "both")])
    assert {key.lead_id: (r.status, r.score, r.error) for key, r in records.items()} == {
        "none": (Status.FAILED, None, "timed_out"),
        "rules": (Status.PARTIAL, 20, "timed_out"),
        "ai": (Status.FAILED, None, "timed_out"),
        "both": (Status.SCORED, 70, None),
    }
    answered = {key.lead_id: record.ai and record.ai.status for key, record in records.items()}
    assert answered == {"none": "failed", "rules": "failed", "ai": "answered", "both": "answered"}
    events = await drained(service.broker, RUN_EVENTS)
    failed = [LeadsFailed.decode(event.body) for event in events if event.type == LeadsFailed.TYPE]
    assert {lead.lead_id for event in failed for lead in event.leads} == {"none", "rules", "ai"}
    [end] = [RunFinished.decode(event.body) for event in events if event.type == RunFinished.TYPE]
    assert (end.run_id, end.total, end.scored, end.failed) == (run_id, 4, 1, 3)
    assert (await service.run(run_id)).announced


async def test_a_redrive_that_dies_before_it_fails_the_missing_leads_is_made_up_for(service: Service) -> None:
    """A redrive is noted before it is done; where a crash comes between, the next one does it."""
    run_id = await service.hear(chunk("a", run_id=new_id()), total=1)
    for number in range(1, MAX_REDRIVES + 2):
        assert await service.store.mark_redriven(run_id, number, service.clock())
    await service.stand_still()
    [record] = (await service.store.load([Key(run_id, "a")])).values()
    assert record.status is Status.FAILED
    assert (await service.run(run_id)).announced


async def test_an_answer_that_waits_at_the_last_redrive_still_counts(service: Service) -> None:
    """Failures queue up behind answers that only wait, so that a late success is not lost to them."""
    leads = chunk("a", run_id=new_id())
    run_id = await service.hear(leads, by_rules(leads), total=1)
    for _ in range(MAX_REDRIVES):
        await service.stand_still()
    await service.broker.publish([chunk_message(by_ai(leads))])
    service.clock.advance(minutes=10)
    await service.redrive.redrive_stalled()
    await service.settle()
    [record] = (await service.store.load([Key(run_id, "a")])).values()
    assert (record.status, record.score) == (Status.SCORED, 70)


async def test_what_waits_in_a_queue_is_not_asked_for_again(service: Service) -> None:
    """Work and answers that wait are late, not lost: asking again would have them done, and paid, twice."""
    leads = chunk("a", run_id=new_id())
    await service.broker.send(AI.name, [chunk_message(leads)])
    await service.broker.publish([chunk_message(by_rules(leads))])
    await service.hear(leads, total=1)
    service.clock.advance(minutes=10)
    await service.redrive.redrive_stalled()
    assert await service.asked(RULES) == []
    assert [message.chunk for message in await service.asked(AI)] == ["1"]


async def test_a_run_behind_one_that_moves_is_not_stalled(service: Service) -> None:
    """Queues are worked off in order, so a younger run that waits for an older one is not stalled."""
    older, younger = sorted([new_id(), new_id()])
    await service.hear(chunk("a", "b", run_id=older), total=2)
    await service.hear(chunk("c", run_id=younger), total=1)
    await service.count()
    service.clock.advance(minutes=9)
    await service.broker.publish(await service.handler.handle(all_of(chunk("a", run_id=older))))
    await service.stand_still(minutes=9)
    assert lead_ids(await service.asked(AI)) == []
    await service.stand_still(minutes=1)
    assert lead_ids(await service.asked(AI)) == ["b", "c"]


async def test_runs_that_stand_still_together_end_together(service: Service) -> None:
    """A stalled run does not hold up the redrive of those after it."""
    runs = [await service.hear(chunk("a", run_id=new_id()), total=1) for _ in range(4)]
    for _ in range(MAX_REDRIVES + 1):
        await service.stand_still()
        await service.asked(RULES)
        await service.asked(AI)
    assert [(await service.run(run_id)).announced for run_id in runs] == [True] * 4


async def test_a_run_whose_leads_never_arrived_ends_as_it_is(service: Service) -> None:
    """Leads that results was never told of count as failed once nothing else is missing."""
    leads = chunk("here", run_id=new_id())
    run_id = await service.hear(leads, by_rules(leads), by_ai(leads), total=3)
    await service.hear(by_rules(chunk("scored, not told", run_id=run_id)), total=3)
    for _ in range(MAX_REDRIVES):
        await service.stand_still()
        assert (await service.run(run_id)).finished_at is None
    await service.stand_still()
    run = await service.run(run_id)
    assert (run.total, run.scored, run.failed, run.announced) == (3, 1, 2, True)


async def test_a_run_whose_leads_wait_to_be_stored_is_not_ended(service: Service) -> None:
    """After an outage of this very service a run's leads may still be in its queue."""
    leads = chunk("a", run_id=new_id())
    await service.tracker.register(published(leads.run_id, 1))
    await service.broker.send(RESULT_LEADS.name, [chunk_message(leads)])
    for _ in range(MAX_REDRIVES + 1):
        await service.stand_still()
    assert (await service.run(leads.run_id)).finished_at is None


async def test_what_is_known_to_be_missing_is_failed_before_the_run_is_ended_short(service: Service) -> None:
    """Of a run that misses answers and leads, the leads get their results first; then the run ends."""
    run_id = await service.hear(chunk("here", run_id=new_id()), total=2)
    for _ in range(MAX_REDRIVES + 1):
        await service.stand_still()
        await service.asked(RULES)
        await service.asked(AI)
    assert (await service.run(run_id)).finished_at is None
    for _ in range(MAX_REDRIVES + 1):
        await service.stand_still()
    run = await service.run(run_id)
    assert (run.scored, run.failed, run.announced) == (0, 2, True)


async def test_a_run_that_is_still_published_is_left_alone(service: Service) -> None:
    """Without a total there is more to come: ingest takes the run up again and publishes the rest."""
    leads = chunk("a", run_id=new_id())
    await service.tracker.register(started(leads.run_id))
    await service.handler.handle([chunk_message(leads)])
    for _ in range(MAX_REDRIVES + 2):
        await service.stand_still()
    assert await service.asked(AI) == []
    run = await service.run(leads.run_id)
    assert (run.nudges, run.finished_at) == (0, None)
    await service.handler.handle(all_of(leads))
    await service.tracker.register(published(leads.run_id, 1))
    await service.settle()
    assert (await service.run(leads.run_id)).announced


async def test_a_paused_run_is_left_alone(service: Service) -> None:
    """However long a paused run makes no progress it is not redriven, and it holds up no other run."""
    paused = await service.hear(chunk("a", run_id=new_id()), total=1)
    await service.hear(chunk("b", run_id=new_id()), total=1)
    redrive = Redrive(
        service.store,
        service.broker,
        service.tracker,
        service.clock,
        service.metrics,
        paused=frozenset([paused]),
    )
    service.clock.advance(minutes=10)
    await redrive.redrive_stalled()
    assert lead_ids(await service.asked(AI)) == ["b"]
    assert (await service.run(paused)).nudges == 0


async def test_of_two_replicas_one_asks(service: Service) -> None:
    """Replicas that check at the same time do not ask, and pay, twice."""
    await service.hear(chunk("a", run_id=new_id()), total=1)
    other = Redrive(
        service.store,
        service.broker,
        service.tracker,
        service.clock,
        service.metrics,
        stall_time=timedelta(minutes=10),
    )
    service.clock.advance(minutes=10)
    await asyncio.gather(service.redrive.redrive_stalled(), other.redrive_stalled())
    assert lead_ids(await service.asked(AI)) == ["a"]


async def test_many_missing_leads_are_asked_for_in_chunks(service: Service) -> None:
    """A redrive keeps to the size of chunks, and every message has an id of its own."""
    ids = [f"lead-{number:03}" for number in range(2 * CHUNK_SIZE + 1)]
    await service.hear(chunk(*ids, run_id=new_id()), total=len(ids))
    service.clock.advance(minutes=10)
    await service.redrive.redrive_stalled()
    messages = await drained(service.broker, AI)
    chunks = [LeadsAccepted.decode(message.body) for message in messages]
    assert [len(leads.leads) for leads in chunks] == [CHUNK_SIZE, CHUNK_SIZE, 1]
    assert lead_ids(chunks) == ids
    assert len({message.id for message in [*messages, *await drained(service.broker, RULES)]}) == 6


async def test_answers_to_a_redrive_complete_the_run(service: Service) -> None:
    """What a layer answers at the second asking is merged like any other answer."""
    run_id = await service.hear(chunk("a", run_id=new_id()), total=1)
    await service.stand_still()
    [rules_asked], [ai_asked] = await service.asked(RULES), await service.asked(AI)
    answers: list[Contract] = [by_rules(rules_asked), by_ai(ai_asked)]
    events = await service.handler.handle([chunk_message(answer) for answer in answers])  # type: ignore[arg-type]
    assert [ResultsScored.decode(event.body).results[0].score for event in events] == [70]
    await service.settle()
    run = await service.run(run_id)
    assert (run.scored, run.failed, run.announced) == (1, 0, True)
