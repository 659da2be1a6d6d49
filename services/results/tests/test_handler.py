"""The merge handler over a real store: the same end whatever the order, and events that come again."""

import asyncio
import json
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.scoring import (
    CANCELLED,
    AiSpend,
    Lead,
    LeadsAccepted,
    LeadsFailed,
    ResultsScored,
    SourceColumn,
)
from leadline_results.runs import handler as handler_module
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.events import events_about
from leadline_results.runs.handler import MergeHandler
from leadline_results.runs.record import Key, Record, Status
from leadline_results.runs.spend import RunSpend
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Query
from leadline_results.runs.tracker import Tracker

from .builders import COUNTED, START, all_of, by_ai, by_rules, chunk, done_record

OLD_RUN, NEW_RUN = sorted([new_id(), new_id()])
CHUNKS = (("a", "b"), ("c",))


class WatchedStore(SqliteResultStore):
    """The real store, which notes each write of spend and columns; it takes no new records while `away`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[list[RunSpend]] = []
        self.told_columns: list[list[str]] = []
        self.away = False

    async def see_spend(self, spent: Sequence[RunSpend]) -> None:
        self.told.append(list(spent))
        await super().see_spend(spent)

    async def see_columns(self, told: Sequence[UploadColumns]) -> None:
        self.told_columns.append([one.upload_id for one in told])
        await super().see_columns(told)

    async def insert(self, records: Sequence[Record]) -> set[Key]:
        if self.away:
            raise Unavailable("the store is away")
        return await super().insert(records)


@asynccontextmanager
async def handling(folder: Path) -> AsyncIterator[tuple[MergeHandler, WatchedStore]]:
    """A handler over a store of its own on the file in the folder."""
    store, broker = WatchedStore(folder / "results.db"), EmbeddedBroker(folder / f"{new_id()}.db")
    try:
        yield (
            MergeHandler(store, Tracker(store, broker, lambda: START, COUNTED), lambda: START, COUNTED),
            store,
        )
    finally:
        await broker.close()
        await store.close()


@pytest.fixture
async def handler(tmp_path: Path) -> AsyncIterator[MergeHandler]:
    """A handler over an empty store."""
    async with handling(tmp_path) as (made, _):
        yield made


def told_of(run_id: str, *, ai_error: str | None = None) -> list[Message]:
    """Everything a run brings about the same three prospects; `ai_error`: the AI fails the first chunk."""
    messages: list[Message] = []
    for number, ids in enumerate(CHUNKS):
        leads = chunk(*ids, run_id=run_id, name=str(number))
        answers = by_ai(leads, error=None if number else ai_error)
        messages += [chunk_message(leads), chunk_message(by_rules(leads)), chunk_message(answers)]
    return messages


def statuses(events: Sequence[Message]) -> dict[tuple[str, str], set[str]]:
    """Which statuses the events tell of each lead of each run."""
    told: dict[tuple[str, str], set[str]] = {}
    for event in events:
        if event.type == ResultsScored.TYPE:
            scored = ResultsScored.decode(event.body)
            for result in scored.results:
                told.setdefault((scored.run_id, result.lead_id), set()).add(result.status)
    return told


@settings(max_examples=25, deadline=None)
@given(order=st.randoms(use_true_random=False), cuts=st.sets(st.integers(1, 20), max_size=6))
async def test_two_overlapping_runs_end_the_same_however_they_arrive(
    order: random.Random, cuts: set[int]
) -> None:
    """Order, repetition and batching change neither what is stored, nor which run's result is the latest."""
    messages = told_of(OLD_RUN) + told_of(NEW_RUN, ai_error="model overloaded")
    messages += order.choices(messages, k=6)
    order.shuffle(messages)
    with tempfile.TemporaryDirectory() as folder:
        async with handling(Path(folder)) as (handler, store):
            events: list[Message] = []
            for start, end in pairwise([0, *sorted(cuts), len(messages)]):
                events += await handler.handle(messages[start:end])
            stored = await store.load([Key(run, lead) for run in (OLD_RUN, NEW_RUN) for lead in "abc"])
    found = {key: (record.status, record.score, record.latest) for key, record in stored.items()}
    assert found == {
        **{Key(OLD_RUN, lead): (Status.SCORED, 70, False) for lead in "abc"},
        **{Key(NEW_RUN, lead): (Status.PARTIAL, 20, True) for lead in "ab"},
        Key(NEW_RUN, "c"): (Status.SCORED, 70, True),
    }
    assert statuses(events) == {key: {status} for key, (status, _, _) in found.items()}


async def test_redelivered_messages_give_the_same_events_again(handler: MergeHandler) -> None:
    """What a crash before the acknowledgement brings back is answered with the same ids and bodies."""
    messages = told_of(NEW_RUN, ai_error="model overloaded")
    first = await handler.handle(messages)
    assert first
    assert await handler.handle(messages) == first
    assert await handler.handle([messages[1], messages[0], *messages[2:]]) == first


async def test_events_come_by_chunk_and_failures_apart(handler: MergeHandler) -> None:
    """Each chunk has one event of its results; leads without a full score are published as failed as well."""
    events = await handler.handle(told_of(NEW_RUN, ai_error="model overloaded"))
    scored = [ResultsScored.decode(event.body) for event in events if event.type == ResultsScored.TYPE]
    failed = [LeadsFailed.decode(event.body) for event in events if event.type == LeadsFailed.TYPE]
    assert [[told.lead_id for told in event.results] for event in scored] == [["a", "b"], ["c"]]
    [event] = failed
    assert (event.owner, event.run_id, event.offer_id, event.model) == ("local", NEW_RUN, "offer", "standard")
    assert [(lead.lead_id, lead.error) for lead in event.leads] == [
        ("a", "model overloaded"),
        ("b", "model overloaded"),
    ]
    assert len({event.id for event in events}) == len(events)


def test_events_do_not_depend_on_the_order_of_the_records() -> None:
    """A process that publishes again what another published before it died uses the same ids and bodies."""
    records = [
        done_record(Lead(id=f"lead-{n}"), run_id=NEW_RUN, chunk=str(n % 2), status=status)
        for n, status in enumerate([Status.SCORED, Status.PARTIAL, Status.SCORED, Status.PARTIAL])
    ]
    traces = {NEW_RUN: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert events_about(reversed(records), traces) == events_about(records, traces)


async def test_a_late_success_is_told_as_news(handler: MergeHandler) -> None:
    """A lead that was failed and then scored after all gets a new event, not the old one's id."""
    leads = chunk("a", run_id=NEW_RUN)
    timed_out = chunk_message(by_ai(leads, error="timed_out"))
    before = await handler.handle([*all_of(leads)[:2], timed_out])
    after = await handler.handle([chunk_message(by_ai(leads))])
    assert statuses(before) == {(NEW_RUN, "a"): {"partial"}}
    assert statuses(after) == {(NEW_RUN, "a"): {"scored"}}
    assert {event.id for event in before}.isdisjoint(event.id for event in after)
    assert await handler.handle([timed_out]) == after


async def test_an_answer_to_a_redelivered_chunk_replaces_a_skipped_one(handler: MergeHandler) -> None:
    """With a raised budget, asking again brings the lead its whole score; the refusal does not undo it."""
    leads = chunk("a", run_id=NEW_RUN)
    skipped = chunk_message(by_ai(leads, error="the budget is spent", status="skipped_budget"))
    before = await handler.handle([*all_of(leads)[:2], skipped])
    after = await handler.handle([skipped, chunk_message(by_ai(leads)), skipped])
    assert statuses(before) == {(NEW_RUN, "a"): {"partial"}}
    assert statuses(after) == {(NEW_RUN, "a"): {"scored"}}


async def test_a_batch_costs_one_write_of_what_was_spent(tmp_path: Path) -> None:
    """Many chunks of two runs are folded to their highest figures; without any there is no write at all."""
    spends = [AiSpend(source="anthropic", assessor="claude", calls=calls) for calls in (3, 9, 5)]
    other = AiSpend(source="gemini", assessor="flash", calls=1, cached=4)
    told = [
        chunk_message(by_ai(chunk("a", run_id=run_id, name=str(number)), spend=spend))
        for run_id in (OLD_RUN, NEW_RUN)
        for number, spend in enumerate([*spends, other])
    ]
    async with handling(tmp_path) as (handler, store):
        await handler.handle(all_of(chunk("b", run_id=NEW_RUN)))
        assert store.told == []
        await handler.handle(told)
        [written] = store.told
    assert {(spend.owner, spend.run_id, spend.source, spend.calls, spend.cached) for spend in written} == {
        ("local", run_id, *figures)
        for run_id in (OLD_RUN, NEW_RUN)
        for figures in (("anthropic", 9, 0), ("gemini", 1, 4))
    }
    assert len(written) == 4


async def test_what_was_spent_is_known_before_its_leads_are_done(tmp_path: Path) -> None:
    """Whoever sees a run finished sees all of its cost, wherever the handler was stopped."""
    spend = AiSpend(source="anthropic", assessor="claude", calls=1, nano_usd=7)
    leads = chunk("a", run_id=NEW_RUN)
    messages = [*all_of(leads)[:2], chunk_message(by_ai(leads, spend=spend))]
    async with handling(tmp_path) as (handler, store):
        store.away = True
        with pytest.raises(Unavailable):
            await handler.handle(messages)
        known = [RunSpend(owner="local", run_id=NEW_RUN, **vars(spend))]
        assert await store.spend(NEW_RUN) == known
        store.away = False
        assert await handler.handle(messages)
        assert await store.spend(NEW_RUN) == known


async def test_columns_of_an_upload_are_kept_once_and_before_its_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds a lead finds the columns it came with; further chunks of the upload write nothing."""
    monkeypatch.setattr(handler_module, "_UPLOADS_REMEMBERED", 2)
    columns = [SourceColumn(title="Notes"), SourceColumn(title="Job", field="role")]

    def of(upload_id: str, name: str, told: list[SourceColumn] | None = columns) -> list[Message]:
        leads = chunk(f"{upload_id}-{name}", run_id=NEW_RUN, name=f"{upload_id}-{name}")
        return all_of(leads.model_copy(update={"upload_id": upload_id, "columns": told}))

    async with handling(tmp_path) as (handler, store):
        store.away = True
        with pytest.raises(Unavailable):
            await handler.handle([*of("a", "1"), *of("b", "1")])
        assert await store.columns(["a", "b"]) == {"a": columns, "b": columns}
        store.away = False
        for messages in (of("a", "1"), of("b", "2"), of("c", "1"), of("d", "1", None), of("a", "2")):
            await handler.handle(messages)
        assert store.told_columns == [["a", "b"], ["c"], ["a"]]
        assert (await store.columns("abcd")).keys() == {"a", "b", "c"}


async def test_leads_that_are_not_done_are_not_told(handler: MergeHandler) -> None:
    """An event tells of final results alone."""
    leads = chunk("a", run_id=NEW_RUN)
    assert await handler.handle([chunk_message(leads), chunk_message(by_rules(leads))]) == []


async def test_replicas_that_merge_the_same_leads_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Over one file, each with parts of every lead, they leave every lead scored and the newest as latest."""
    order = random.Random(7)
    ids = [f"lead-{number}" for number in range(120)]
    chunks = [
        chunk(*ids[n : n + 10], run_id=run_id, name=str(n))
        for run_id in (OLD_RUN, NEW_RUN)
        for n in range(0, 120, 10)
    ]
    messages = [message for leads in chunks for message in all_of(leads)]
    order.shuffle(messages)
    twice = order.sample(messages, 20)

    async def work(handler: MergeHandler, mine: list[Message]) -> list[Message]:
        batches = [mine[n : n + 5] for n in range(0, len(mine), 5)]
        return [event for batch in batches for event in await handler.handle(batch)]

    async with handling(tmp_path) as (one, store), handling(tmp_path) as (other, _):
        events = await asyncio.gather(work(one, messages[::2] + twice), work(other, twice + messages[1::2]))
        stored = await store.load([Key(run, lead) for run in (OLD_RUN, NEW_RUN) for lead in ids])
    assert {(key.run_id, record.status, record.latest) for key, record in stored.items()} == {
        (OLD_RUN, Status.SCORED, False),
        (NEW_RUN, Status.SCORED, True),
    }
    assert statuses([*events[0], *events[1]]) == {key: {"scored"} for key in stored}
    assert len(stored) == 240


async def test_a_type_it_does_not_know_is_refused_for_good(handler: MergeHandler) -> None:
    """A message that is none of ours goes to the dead letters and names its type."""
    with pytest.raises(Permanent, match="surprise"):
        await handler.handle([Message(type="surprise.v1", id="1", body=b"{}")])


async def test_a_chunk_that_cannot_be_stored_is_halved_and_scores_stay_whole(handler: MergeHandler) -> None:
    """One lead that no store takes does not take its whole chunk out of the run."""
    leads = chunk("a", "b", "c", run_id=NEW_RUN)
    halves = [LeadsAccepted.decode(part.body) for part in handler.bisect(chunk_message(leads))]
    assert [[lead.id for lead in half.leads] for half in halves] == [["a"], ["b", "c"]]
    assert handler.bisect(chunk_message(by_rules(leads))) == []
    assert handler.bisect(Message(type=LeadsAccepted.TYPE, id="1", body=b"no json")) == []


async def test_events_hold_no_lead_text(handler: MergeHandler) -> None:
    """Public events name leads by id."""
    events = await handler.handle(told_of(NEW_RUN, ai_error="model overloaded"))
    assert "Name of" not in json.dumps([event.body.decode() for event in events])


async def test_events_name_leads_by_their_senders_ids_too(handler: MergeHandler) -> None:
    """Who sent a lead in finds it in an event by the id that it has there; nothing else of it is told."""
    leads = chunk("a", "b", run_id=NEW_RUN)
    first = leads.leads[0].model_copy(update={"external_id": "crm-7", "extra": {"Notes": "private"}})
    [event] = await handler.handle(all_of(leads.model_copy(update={"leads": [first, leads.leads[1]]})))
    assert [one.external_id for one in ResultsScored.decode(event.body).results] == ["crm-7", None]
    assert b"private" not in event.body


async def test_a_lead_that_nobody_was_asked_about_is_given_back_and_hides_no_result(tmp_path: Path) -> None:
    """A cancelled run releases its claim, is told of by no result, and leaves the older result the latest."""
    async with handling(tmp_path) as (handler, store):
        await handler.handle(all_of(chunk("a", run_id=OLD_RUN)))
        leads = chunk("a", run_id=NEW_RUN)
        dropped = [chunk_message(part) for part in (leads, by_rules(leads), by_ai(leads, error=CANCELLED))]
        for parts in (dropped, dropped[::-1]):
            [failed] = await handler.handle(parts)
            assert LeadsFailed.decode(failed.body).leads[0].error == CANCELLED
        [listed] = await store.page(Query(owner="local"), None, 10)
        assert (listed.run_id, listed.status) == (OLD_RUN, Status.SCORED)
        assert await store.count(Query(owner="local", run_id=NEW_RUN)) == 0
        assert await store.count(Query(owner="local", run_id=NEW_RUN, status=Status.PENDING)) == 0
        assert await store.count(Query(owner="local", run_id=NEW_RUN, status=Status.CANCELLED)) == 1
        assert (await store.count_run(NEW_RUN)) == (0, 0, 1)


async def test_an_answer_that_was_paid_for_comes_in_after_all(tmp_path: Path) -> None:
    """Where a lead was dropped and answered, as its chunk was handled twice, the answer stays."""
    async with handling(tmp_path) as (handler, store):
        leads = chunk("a", run_id=NEW_RUN)
        for answers in (by_ai(leads, error=CANCELLED), by_ai(leads), by_ai(leads, error=CANCELLED)):
            parts = (leads, by_rules(leads), answers)
            await handler.handle([chunk_message(part) for part in parts])
        [listed] = await store.page(Query(owner="local"), None, 10)
        assert (listed.run_id, listed.status) == (NEW_RUN, Status.SCORED)
