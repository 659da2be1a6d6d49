"""The queue entrypoint for messages, through a real consumer."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from leadline_common.broker import headers
from leadline_common.broker.port import Message
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Unavailable
from leadline_contracts.inbound import MessageAccepted, MessageReceived, MessageSpec, MessageSubmitted
from leadline_contracts.topology import MESSAGES, RESULT_MESSAGES, Queue
from leadline_ingest.inbound.service import external_key

from .builders import House, drained, eventually, house

DEAD = Queue(MESSAGES.dead, ())
ASKER = "acme.replies"
TEXT = "Do you clean windows on the third floor?"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


def submission(message_id: str = "m1", *, reply_to: str | None = None, **body: object) -> Message:
    """A fit submission but for the fields given; None leaves one out."""
    content = {"contact_channel": "email", "message": TEXT, **body}
    content = {name: value for name, value in content.items() if value is not None}
    return Message(
        type=MessageSubmitted.TYPE,
        id=message_id,
        body=json.dumps(content).encode(),
        reply_to=reply_to,
        correlation_id="c1" if reply_to else None,
    )


async def settled(service: House, *messages: Message) -> None:
    """Publish these and wait until the service is done with them."""
    settled_before = handled(service)
    await service.broker.publish(messages)

    async def done() -> bool:
        return handled(service) == settled_before + len(messages)

    await eventually(done)


def handled(service: House) -> float:
    """How many submissions were acknowledged or dead-lettered so far."""
    counts = (
        service.metrics.registry.get_sample_value(
            "leadline_messages_settled_total", {"queue": MESSAGES.name, "outcome": outcome}
        )
        for outcome in ("acked", "dead_lettered")
    )
    return sum(count or 0 for count in counts)


async def accepted(service: House) -> list[MessageAccepted]:
    """What waits for the results service."""
    return [MessageAccepted.decode(one.body) for one in await drained(service.broker, RESULT_MESSAGES)]


def told(service: House, place: str) -> list[MessageReceived]:
    """All that went to this queue, or was published under this type."""
    return [MessageReceived.decode(message.body) for message in service.broker.heard_at(place)]


async def test_a_submission_begins_a_workflow(service: House) -> None:
    """Its text goes on as it came, for the owner it names, and a success publishes no event."""
    await settled(service, submission(owner="acme", name=" Ada ", message=" Hi\n", of_tomorrow=1))
    [message] = await accepted(service)
    assert message.owner == "acme"
    assert message.input == MessageSpec(name=" Ada ", contact_channel="email", message=" Hi\n")
    assert told(service, MessageReceived.TYPE) == []


async def test_a_sender_who_asks_gets_the_id(service: House) -> None:
    """The answer goes to the sender's queue, and there alone."""
    await settled(service, submission(reply_to=ASKER))
    [message] = await accepted(service)
    [answer] = service.broker.heard_at(ASKER)
    assert (answer.type, answer.correlation_id) == (MessageReceived.TYPE, "c1")
    assert told(service, ASKER) == [
        MessageReceived(owner=LOCAL_OWNER, message_id="m1", workflow_id=message.workflow_id)
    ]
    assert told(service, MessageReceived.TYPE) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Do you clean windows?", "JSON"),
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"contact_channel": "email", "message": "\\ud800"}', "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "body"),
        (submission(contact_channel=None).body, "contact_channel"),
        (submission(contact_channel="sms").body, "contact_channel"),
        (submission(message=f"{TEXT}{'x' * 20_000}").body, "message"),
        (submission(message=" ").body, "message"),
        (submission(name=7).body, "name"),
        (submission(external_message_id="").body, "external_message_id"),
        (submission(owner="").body, "owner"),
        (submission(owner="a\x1fb").body, "owner"),
    ],
)
@pytest.mark.parametrize("reply_to", [None, ASKER])
async def test_what_is_no_message_is_dead_lettered_and_told(
    service: House, body: bytes, reason: str, reply_to: str | None
) -> None:
    """It is kept with its reason at once, its text never quoted; its sender hears, or whoever listens."""
    sent = Message(type=MessageSubmitted.TYPE, id="m1", body=body, reply_to=reply_to)
    await settled(service, sent)
    [letter] = await drained(service.broker, DEAD)
    error = letter.headers[headers.ERROR]
    assert (letter.body, letter.headers[headers.ATTEMPT]) == (body, "1")
    assert reason in error
    assert TEXT not in error
    refusal = MessageReceived(owner=LOCAL_OWNER, message_id="m1", error=error)
    assert told(service, ASKER) == ([refusal] if reply_to else [])
    assert told(service, MessageReceived.TYPE) == ([] if reply_to else [refusal])
    assert await accepted(service) == []


async def test_a_refusal_names_the_owner_the_message_named(service: House) -> None:
    """A listener who serves one owner finds its refusals."""
    await settled(service, submission(owner="acme", message=""))
    assert [one.owner for one in told(service, MessageReceived.TYPE)] == ["acme"]


@pytest.mark.parametrize("queue", [MESSAGES.name, RESULT_MESSAGES.name, MESSAGES.retry(1), "leadline.new"])
async def test_no_reply_goes_to_a_queue_of_ours(service: House, queue: str) -> None:
    """A sender cannot make the service feed itself; a refusal is published in place of the reply."""
    await settled(service, submission(reply_to=queue), submission("m2", reply_to=queue, message=""))
    assert service.broker.heard_at(queue) == []
    assert [one.message_id for one in told(service, MessageReceived.TYPE)] == ["m2"]


async def test_a_reply_that_cannot_be_delivered_holds_nothing_up(
    service: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender's full or broken queue is the sender's loss alone."""

    async def refuse(queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        raise Unavailable("that queue takes nothing")

    monkeypatch.setattr(service.broker, "send", refuse)
    await settled(service, submission(reply_to=ASKER))
    assert len(await accepted(service)) == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"message_id": "a"}, {"message_id": "a"}, True),
        ({"message_id": "a"}, {"message_id": "b"}, False),
        ({"message_id": "a"}, {"message_id": "a", "owner": "acme"}, False),
        ({"message_id": "a", "external_message_id": "x"}, {"external_message_id": "x"}, True),
        ({"message_id": "a", "external_message_id": "x"}, {"message_id": "a"}, False),
        ({"external_message_id": "x"}, {"external_message_id": "x", "contact_channel": "other"}, False),
        ({"external_message_id": "x"}, {"external_message_id": "x", "owner": "acme"}, False),
        ({"message_id": "x"}, {"message_id": "b", "external_message_id": "x"}, False),
    ],
)
async def test_a_message_published_again_begins_nothing_new(
    service: House, first: dict[str, Any], second: dict[str, Any], *, same: bool
) -> None:
    """It is known by the id its sender's system gave it, else by the id it was published under."""
    await settled(service, submission(reply_to=ASKER, **first))
    await settled(service, submission(reply_to=ASKER, message="Something else", **second))
    ids = [one.workflow_id for one in told(service, ASKER)]
    assert (ids[0] == ids[1]) is same
    messages = await accepted(service)
    assert [one.workflow_id for one in messages] == ids
    assert (messages[0] == messages[1]) is same


async def test_both_doors_know_the_same_message(service: House) -> None:
    """What came over REST and comes again by the queue has its workflow already."""
    spec = MessageSpec(name=None, contact_channel="email", message=TEXT, external_message_id="x")
    workflow_id = await service.ingest.messages.accept(LOCAL_OWNER, spec, external_key(LOCAL_OWNER, spec))
    await settled(service, submission(reply_to=ASKER, external_message_id="x"))
    assert [one.workflow_id for one in told(service, ASKER)] == [workflow_id]


async def test_a_long_message_id_is_no_obstacle(service: House) -> None:
    """AMQP allows 255 bytes, and what is published in answer keeps to them too."""
    await settled(service, submission("m" * 255, message=""), submission("n" * 255, reply_to=ASKER))
    assert all(len(message.id) <= 255 for _, message in service.broker.heard)
    assert len(await accepted(service)) == 1
