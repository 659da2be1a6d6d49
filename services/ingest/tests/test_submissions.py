"""The queue entrypoint, through a real consumer; and what results tells about runs."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leadline_common.broker import headers
from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Message
from leadline_common.ids import derived_id, new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import (
    LEAD_FIELDS,
    FailedLead,
    LeadsAccepted,
    LeadsFailed,
    LeadsRejected,
    LeadsSubmitted,
    Offer,
    RunProgressed,
    RunPublished,
)
from leadline_contracts.topology import RESULT_LEADS, SUBMISSIONS, Queue
from leadline_ingest.runs.service import ScoreRequest
from leadline_ingest.runs.store import RunRequest

from .builders import (
    OFFER,
    START,
    HearingBroker,
    House,
    drained,
    eventually,
    finished,
    house,
    leads,
    offer,
    uploaded,
)

DEAD = Queue(SUBMISSIONS.dead, ())
ASKER = "acme.replies"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


def submission(message_id: str = "m1", *, reply_to: str | None = None, **body: Any) -> Message:
    """A fit submission but for the fields given; None leaves one out."""
    content = {"offer": OFFER, "leads": [{"name": "Ada", "role": "CTO"}], **body}
    content = {name: value for name, value in content.items() if value is not None}
    return Message(
        type=LeadsSubmitted.TYPE,
        id=message_id,
        body=json.dumps(content).encode(),
        reply_to=reply_to,
        correlation_id="c1" if reply_to else None,
    )


async def settled(service: House, *messages: Message) -> None:
    """Publish these and wait until the service is done with them and has published the runs they began."""
    settled_before = handled(service)
    await service.broker.publish(messages)

    async def done() -> bool:
        publishing = await service.store.publishable_runs(START + timedelta(days=10_000))
        return handled(service) == settled_before + len(messages) and not publishing

    await eventually(done)


def handled(service: House) -> float:
    """How many submissions were acknowledged or dead-lettered so far."""
    counts = (
        service.metrics.registry.get_sample_value(
            "leadline_messages_settled_total", {"queue": SUBMISSIONS.name, "outcome": outcome}
        )
        for outcome in ("acked", "dead_lettered")
    )
    return sum(count or 0 for count in counts)


def answers(broker: HearingBroker) -> list[LeadsRejected]:
    """All that senders and listeners were told."""
    told = [*broker.heard_at(ASKER), *broker.heard_at(LeadsRejected.TYPE)]
    return [LeadsRejected.decode(message.body) for message in told]


async def accepted(service: House) -> list[LeadsAccepted]:
    messages = await drained(service.broker)
    return [LeadsAccepted.decode(one.body) for one in messages if one.type == LeadsAccepted.TYPE]


async def published(service: House, run_id: str) -> None:
    async def told() -> bool:
        return any(run_id in one.id for one in service.broker.heard_at(RunPublished.TYPE))

    await eventually(told)


async def test_a_submission_runs_like_an_upload(service: House) -> None:
    """Its leads go on under ids of their own, with the offer inline; a full success publishes no event."""
    await settled(service, submission(leads=[{"name": "Ada", "role": " CTO "}, {"company": "B"}]))
    [chunk] = await accepted(service)
    assert [(lead.name, lead.role, lead.company) for lead in chunk.leads] == [
        ("Ada", "CTO", ""),
        ("", "", "B"),
    ]
    assert [lead.id for lead in chunk.leads] == [derived_id(LOCAL_OWNER, "m1", str(n)) for n in (0, 1)]
    assert (chunk.offer.name, chunk.offer.value_props) == (OFFER["name"], OFFER["value_props"])
    assert chunk.model == "standard"
    assert answers(service.broker) == []


async def test_only_the_fit_leads_of_a_submission_go_on(service: House) -> None:
    """Each lead stands alone; the rest come back by index, field and reason, never quoted."""
    wrong: list[object] = ["text", 7, None, [], {"role": 5}, {"name": "  "}, {"name": "A\x00"}]
    await settled(service, submission(leads=[*wrong, {"name": "Ada", "role": None}]))
    [chunk] = await accepted(service)
    assert [lead.name for lead in chunk.leads] == ["Ada"]
    assert chunk.leads[0].id == derived_id(LOCAL_OWNER, "m1", str(len(wrong)))
    [told] = answers(service.broker)
    assert (told.message_id, told.run_id, told.accepted, told.error) == ("m1", chunk.run_id, 1, None)
    assert [(lead.index, lead.field) for lead in told.rejected] == [
        *((index, "lead") for index in range(4)),
        (4, "role"),
        (5, "lead"),
        (6, "name"),
    ]
    assert all(lead.reason for lead in told.rejected)


async def test_what_a_sender_knows_besides_goes_on_with_the_lead(service: House) -> None:
    """Ids and other columns stay with their lead, numbers as text; what is null counts as missing."""
    more: list[dict[str, Any]] = [
        {"external_id": 7, "extra": {"Stage": "won", "a.$b": 1.5, "": True, "Empty": None}},
        {"external_id": "crm-8", "extra": None},
        {"external_id": None, "extra": {"Web": "https://b.example", "Stage": ""}},
    ]
    await settled(service, submission(leads=[{"name": f"Lead {n}", **one} for n, one in enumerate(more)]))
    [chunk] = await accepted(service)
    assert [(lead.external_id, lead.extra, lead.row) for lead in chunk.leads] == [
        ("7", {"Stage": "won", "a.$b": "1.5", "": "true"}, None),
        ("crm-8", None, None),
        (None, {"Web": "https://b.example", "Stage": ""}, None),
    ]
    assert chunk.columns is not None
    assert [(column.title, column.field) for column in chunk.columns] == [
        *((field, field) for field in ("external_id", *LEAD_FIELDS)),
        *((title, None) for title in ("Stage", "a.$b", "", "Web")),
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"extra": "text"}, "extra"),
        ({"extra": ["text"]}, "extra"),
        ({"extra": {"Nested": {"a": [1]}}}, "extra.Nested"),
        ({"extra": {"Notes": "x" * 70_000}}, "extra"),
        ({"extra": {str(n): "" for n in range(1_001)}}, "extra"),
        ({"extra": {"No\x00tes": "x"}}, "extra"),
        ({"external_id": "x" * 501}, "external_id"),
        ({"external_id": ["x"]}, "external_id"),
    ],
)
async def test_a_lead_whose_other_columns_cannot_be_kept_is_rejected_alone(
    service: House, wrong: dict[str, Any], field: str
) -> None:
    """Nothing that came with a lead is lost silently: the sender is told which part does not fit."""
    await settled(service, submission(leads=[{"name": "Ada", **wrong}, {"name": "Ben"}]))
    [chunk] = await accepted(service)
    assert [lead.name for lead in chunk.leads] == ["Ben"]
    [told] = answers(service.broker)
    assert [(lead.index, lead.field.startswith(field)) for lead in told.rejected] == [(0, True)]


async def test_a_submission_without_a_fit_lead_begins_no_run(service: House) -> None:
    """There is nothing to score, and every rejection is reported."""
    await settled(service, submission(leads=[{}, {"name": 1}]))
    [told] = answers(service.broker)
    assert (told.run_id, told.accepted, len(told.rejected)) == (None, 0, 2)
    assert await accepted(service) == []
    assert await service.broker.depth(DEAD.name) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"name,role\nAda,CTO", "JSON"),
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"leads": [{"name": "\\ud800"}], "offer": {"name": "x"}}', "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "body"),
        (submission(leads=[]).body, "leads"),
        (submission(leads=[{"name": "Ada"}] * 501).body, "leads"),
        (submission(leads="Ada").body, "leads"),
        (submission(offer=None).body, "offer or offer_id"),
        (submission(offer_id="x").body, "offer or offer_id"),
        (submission(offer={"name": ""}).body, "offer.name"),
        (submission(offer=None, offer_id="nope").body, "There is no offer 'nope'"),
        (submission(model="best").body, "model"),
        (submission(owner="").body, "owner"),
        (submission(owner="a\x1fb").body, "owner"),
        (submission(owner=7).body, "owner"),
    ],
)
async def test_a_message_that_is_no_submission_is_dead_lettered_and_told(
    service: House, body: bytes, reason: str
) -> None:
    """It is kept with its reason at once, and whoever sent it can hear of it."""
    await settled(service, Message(type=LeadsSubmitted.TYPE, id="m1", body=body))
    [letter] = await drained(service.broker, DEAD)
    assert (letter.body, letter.headers[headers.ATTEMPT]) == (body, "1")
    assert reason in letter.headers[headers.ERROR]
    assert "Ada" not in letter.headers[headers.ERROR]
    [told] = answers(service.broker)
    assert (told.owner, told.message_id, told.accepted) == (LOCAL_OWNER, "m1", 0)
    assert told.error == letter.headers[headers.ERROR]
    assert await accepted(service) == []


async def test_a_refusal_names_the_owner_the_message_named(service: House) -> None:
    """A listener who serves one owner finds its refusals."""
    await settled(service, submission(owner="acme", leads=[]))
    [told] = answers(service.broker)
    assert told.owner == "acme"


@pytest.mark.parametrize(
    ("body", "accepted_count", "rejected_count", "refused"),
    [
        ({"leads": [{"name": "Ada"}]}, 1, 0, False),
        ({"leads": [{"name": "Ada"}, {}]}, 1, 1, False),
        ({"leads": []}, 0, 0, True),
        ({"offer": None, "offer_id": "nope"}, 0, 0, True),
    ],
)
async def test_a_sender_who_asks_for_a_reply_gets_one(
    service: House, body: dict[str, Any], accepted_count: int, rejected_count: int, *, refused: bool
) -> None:
    """Success, rejections and refusals alike go to the sender's queue, and there alone."""
    await settled(service, submission(reply_to=ASKER, **body))
    [reply] = service.broker.heard_at(ASKER)
    told = LeadsRejected.decode(reply.body)
    assert (reply.type, reply.correlation_id, told.message_id) == (LeadsRejected.TYPE, "c1", "m1")
    assert (told.accepted, len(told.rejected), told.error is not None) == (
        accepted_count,
        rejected_count,
        refused,
    )
    assert (told.run_id is None) is refused
    assert service.broker.heard_at(LeadsRejected.TYPE) == []
    assert await service.broker.depth(DEAD.name) == refused


@pytest.mark.parametrize("queue", [SUBMISSIONS.name, RESULT_LEADS.name, SUBMISSIONS.retry(1), "leadline.new"])
async def test_no_reply_goes_to_a_queue_of_ours(service: House, queue: str) -> None:
    """A sender cannot have replies sent to a queue of ours; the reply is published as an event instead."""
    await settled(service, submission(reply_to=queue, leads=[{"name": "Ada"}, {}]))
    assert service.broker.heard_at(queue) == []
    assert len(service.broker.heard_at(LeadsRejected.TYPE)) == 1


async def test_a_reply_that_cannot_be_delivered_holds_nothing_up(
    service: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender's full or broken queue is the sender's loss alone."""

    async def refuse(queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        raise Unavailable("that queue takes nothing")

    monkeypatch.setattr(service.broker, "send", refuse)
    await settled(service, submission(reply_to=ASKER))
    assert len(await accepted(service)) == 1


async def test_the_same_message_twice_scores_once(service: House) -> None:
    """A sender that is unsure repeats itself: one run, the same ids, nothing to pay for again."""
    for _ in range(2):
        await settled(service, submission())
    await settled(service, submission("m2"))
    first, second = await accepted(service)
    assert first.run_id != second.run_id
    assert first.leads[0].id == derived_id(LOCAL_OWNER, "m1", "0")
    assert second.leads[0].id == derived_id(LOCAL_OWNER, "m2", "0")


async def test_owners_are_kept_apart(service: House) -> None:
    """One owner's offer id is unknown to another, and the same message id names different leads."""
    theirs = offer()
    await service.store.add_offer("acme", theirs, inline=False)
    by_id: dict[str, Any] = {"offer": None, "offer_id": theirs.id}
    await settled(service, submission("m1", owner="other", **by_id))
    assert await service.broker.depth(DEAD.name) == 1
    await settled(service, submission("m2", owner="acme", **by_id))
    await settled(service, submission("m2", owner="other"))
    ours, others = await accepted(service)
    assert (ours.owner, ours.offer, others.owner) == ("acme", theirs, "other")
    assert ours.leads[0].id != others.leads[0].id
    assert not await service.store.has_prospects(LOCAL_OWNER)


async def test_submitted_leads_stay_with_their_offer(service: House) -> None:
    """POST /score takes them neither for another offer nor again for their own, and an inline offer is
    never its default."""
    made = offer()
    await service.store.add_offer(LOCAL_OWNER, made, inline=False)
    await settled(service, submission())
    [chunk] = await accepted(service)
    for request in (ScoreRequest(), ScoreRequest(offer_id=chunk.offer_id)):
        run = await service.ingest.runs.start(LOCAL_OWNER, request)
        assert run.offer.id == (request.offer_id or made.id)
        await published(service, run.id)
        assert await accepted(service) == []


async def test_a_full_submission_is_chunked(service: House) -> None:
    """500 leads are taken, in order."""
    await settled(service, submission(leads=[{"name": f"Ava {n}"} for n in range(500)], model="graded"))
    chunks = await accepted(service)
    names = [lead.name for chunk in chunks for lead in chunk.leads]
    assert names == [f"Ava {n}" for n in range(500)]
    assert {chunk.model for chunk in chunks} == {"graded"}


async def test_text_of_any_script_arrives_as_it_was_sent(service: House) -> None:
    """Emoji, right-to-left text and escapes are text like any other."""
    name = "Zoë \U0001f680 سلمى \u2028 \x1f \\ud800"
    await settled(service, submission(leads=[{"name": name}]))
    [chunk] = await accepted(service)
    assert chunk.leads[0].name == name


async def test_a_long_message_id_is_no_obstacle(service: House) -> None:
    """AMQP allows 255 bytes, and what is published in answer keeps to them too."""
    await settled(service, submission("m" * 255, leads=[{}]), submission("n" * 255, reply_to=ASKER))
    assert len(answers(service.broker)) == 2
    assert all(len(message.id) <= 255 for _, message in service.broker.heard)


async def started(service: House, count: int) -> RunRequest:
    """A run over so many prospects, all published."""
    await service.store.add_offer(LOCAL_OWNER, offer(), inline=False)
    await uploaded(service.store, leads(count))
    run = await service.ingest.runs.start(LOCAL_OWNER, ScoreRequest())
    await published(service, run.id)
    return run


async def test_progress_and_end_of_a_run_are_noted(service: House) -> None:
    """Who waits for a run hears how far it is; nothing that comes late undoes its end."""
    run = await started(service, 3)
    step = RunProgressed(owner=LOCAL_OWNER, run_id=run.id, scored=1, failed=0)
    await service.broker.publish([message_of(step, "p1")])

    async def scored() -> int:
        return (await service.ingest.runs.wait(run, 0))[0].processed

    assert await eventually(scored) == 1
    await service.broker.publish([finished(run.id, 2, 1), message_of(step, "p2")])
    progress, ended = await service.ingest.runs.wait(run, 5)
    assert ended
    assert (progress.processed, progress.failed) == (3, 1)


async def test_failed_leads_are_given_back(service: House) -> None:
    """The next request scores what this one could not, also where an event comes twice."""
    run = await started(service, 3)
    [chunk] = await accepted(service)
    failed = LeadsFailed(
        owner=LOCAL_OWNER,
        run_id=run.id,
        offer_id=run.offer.id,
        model=run.model,
        leads=[FailedLead(lead_id=chunk.leads[1].id, error="timed_out")],
    )
    unknown = failed.model_copy(update={"run_id": new_id()})
    messages = [message_of(failed, "f1"), message_of(failed, "f1"), message_of(unknown, "f2")]
    await service.broker.publish([*messages, finished(run.id, 2, 1)])
    assert (await service.ingest.runs.wait(run, 5))[1]
    again = await service.ingest.runs.start(LOCAL_OWNER, ScoreRequest(offer_id=run.offer.id))
    await published(service, again.id)
    [rest] = await accepted(service)
    assert [lead.id for lead in rest.leads] == [chunk.leads[1].id]


async def test_an_inline_offer_is_one_offer_however_often_it_comes(service: House) -> None:
    """A system that sends the same offer with every message does not fill the store with copies."""
    await settled(service, submission("m1"), submission("m2"), submission("m3", offer={**OFFER, "name": "B"}))
    first, second, third = sorted(await accepted(service), key=lambda chunk: chunk.offer.name)[::-1]
    assert isinstance(first.offer, Offer)
    assert len({first.offer.id, second.offer.id, third.offer.id}) == 2
