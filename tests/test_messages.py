"""An inbound message from either entrypoint to its route, in one process and as four services."""

import asyncio
import json
import time
from collections.abc import Iterator

import aio_pika
import pytest
from tests.support import Leadline, WorkflowJson, embedded, events_of

from leadline_contracts.inbound import MessageSubmitted, StepName, checked_output
from leadline_contracts.topology import LEADLINE

SALES = "Hello, could you quote a deep clean of our three bedroom flat in Leeds next week? Budget 300 pounds."
SUPPORT = "My invoice is wrong again and nobody answers, this is the third time that I complain!"
SPAM = "Congratulations! You won, open http://prize.example/win to claim your bitcoin now"
UNCLEAR = "ok"


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=pytest.mark.servers)])
def leadline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leadline]:
    """Leadline with the offline assessor, open to all; each test sends messages of its own."""
    if request.param == "services":
        yield request.getfixturevalue("services")
        return
    with embedded(tmp_path_factory.mktemp("messages")) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "category", "queue"),
    [
        (SALES, "sales_new", "sales"),
        (SUPPORT, "support", "support"),
        (SPAM, "spam", "ignore"),
        (UNCLEAR, "unknown", "needs_clarification"),
    ],
)
def test_a_message_goes_through_all_steps(leadline: Leadline, text: str, category: str, queue: str) -> None:
    """What is sent in is classified, read and routed, each step's output fits its contract, input is kept."""
    client = leadline.client
    answer = client.post_message(text, name="Ann Lee")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Location"] == f"/leads/{answer.json()['id']}"

    workflow = client.ended_workflow(answer.json()["id"])
    assert (workflow["status"], workflow["category"], workflow["queue"]) == ("completed", category, queue)
    assert workflow["input"] == {
        "name": "Ann Lee",
        "contact_channel": "email",
        "message": text,
        "external_message_id": None,
    }
    for name, step in workflow["steps"].items():
        assert (step["status"], step["attempts"], step["error"]) == ("completed", 1, None)
        assert step["source"]["source"] == "offline"
        assert checked_output(StepName(name), step["output"]) == step["output"]
    assert workflow["steps"]["extract"]["output"]["category"] == category
    assert workflow["steps"]["route"]["output"]["queue"] == queue
    assert events_of(workflow) == [
        ("accepted", None),
        *[(event, step) for step in StepName for event in ("started", "completed")],
    ]


def test_the_same_external_id_is_the_same_workflow(leadline: Leadline) -> None:
    """A webhook that is delivered again, at once or after the end, begins no second workflow."""
    client = leadline.client
    first = client.submit(SALES, external_message_id="again-1")
    assert client.submit("Another text", external_message_id="again-1") == first
    client.ended_workflow(first)
    assert client.submit(SALES, external_message_id="again-1") == first
    assert client.submit(SALES, external_message_id="again-1", contact_channel="webchat") != first
    workflow = client.workflow(first)
    assert (workflow["input"]["message"], len(workflow["history"])) == (SALES, 7)


def test_a_workflow_is_known_at_once(leadline: Leadline) -> None:
    """Whoever reads right after sending does not get a 404."""
    for number in range(20):
        location = leadline.client.post_message(f"Do you mow lawns? Garden {number}").headers["Location"]
        assert leadline.client.http.get(location).status_code == 200


def test_lists_are_filtered_and_paged(leadline: Leadline) -> None:
    """Filters leave what they say, and small pages hold what one big page does, the newest first."""
    client = leadline.client
    before = client.submit(SALES)
    time.sleep(0.01)  # ids and `since` are apart by a millisecond at least
    sent = {text: client.submit(text) for text in (SALES, SUPPORT, SPAM, UNCLEAR)}
    ended = {text: client.ended_workflow(workflow_id) for text, workflow_id in sent.items()}
    since = ended[SALES]["received_at"]

    whole = client.workflows(since=since)
    assert [workflow["id"] for workflow in whole] == sorted(sent.values(), reverse=True)
    assert before not in {workflow["id"] for workflow in whole}
    assert client.workflows(since=since, limit=1) == whole
    for name in ("status", "category", "queue", "priority"):
        for value in {workflow[name] for workflow in whole}:
            kept = [workflow for workflow in whole if workflow[name] == value]
            assert client.workflows(since=since, limit=2, **{name: value}) == kept
    assert client.workflows(since=since, category="spam", queue="sales") == []
    assert client.http.get("/leads", params={"status": "lost"}).status_code == 422


def test_a_watched_workflow_is_told_until_its_end(leadline: Leadline) -> None:
    """Events show each state once, in order, and the stream ends with the workflow."""
    client = leadline.client
    workflow_id = client.submit(SALES)
    told = client.watched(workflow_id)
    assert [workflow["status"] for workflow in told[:-1]] == ["processing"] * (len(told) - 1)
    assert told[-1]["status"] == "completed"
    done = [sum(step["status"] == "completed" for step in workflow["steps"].values()) for workflow in told]
    assert done == sorted(set(done))
    assert [workflow["status"] for workflow in client.watched(workflow_id)] == ["completed"]


def test_what_is_completed_is_not_tried_again(leadline: Leadline) -> None:
    """A retry where nothing failed is refused with the reason, and changes nothing."""
    client = leadline.client
    before = client.ended_workflow(client.submit(SUPPORT))
    refused = client.http.post(f"/leads/{before['id']}/retry")
    assert (refused.status_code, refused.json()["title"]) == (409, "Nothing failed")
    assert client.workflow(before["id"]) == before


def test_no_message_text_is_logged(leadline: Leadline) -> None:
    """What people write stays out of the log, whatever becomes of it."""
    client = leadline.client
    workflow_id = client.submit("Please call Xerxes Quillfeather about the carpets", name="Philippa Oakheart")
    client.ended_workflow(workflow_id)
    client.post_message(" ", name="Philippa Oakheart")
    log = leadline.log.read_text(encoding="utf-8")
    for private in ("Quillfeather", "Oakheart", "Traceback"):
        assert private not in log


@pytest.mark.servers
async def test_messages_come_by_queue_too(services: Leadline) -> None:
    """What another system publishes takes the same way; its sender gets the workflow's id, or why none."""
    assert services.broker_url is not None
    body = {"contact_channel": "whatsapp", "message": SUPPORT, "external_message_id": "queued-1"}
    first, second, refused = await ask_all(services.broker_url, body, body, {"message": SUPPORT})
    assert first["owner"] == "local"
    assert first["workflow_id"] == second["workflow_id"]
    assert "error" not in first
    assert "contact_channel" in refused["error"]
    assert "workflow_id" not in refused
    client = services.client
    workflow = await asyncio.to_thread(client.ended_workflow, first["workflow_id"])
    assert (workflow["status"], workflow["queue"]) == ("completed", "support")
    again = await asyncio.to_thread(
        client.submit, SUPPORT, contact_channel="whatsapp", external_message_id="queued-1"
    )
    assert again == first["workflow_id"]


async def ask_all(broker_url: str, *bodies: object) -> list[WorkflowJson]:
    """Publish submissions one after the other and return the answer to each."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(LEADLINE.exchange)
        answers = await channel.declare_queue(exclusive=True)
        replies = []
        async with answers.iterator(no_ack=True, timeout=60) as arriving:
            for number, body in enumerate(bodies):
                message = aio_pika.Message(
                    json.dumps(body).encode(),
                    message_id=f"published-{number}",
                    reply_to=answers.name,
                    correlation_id=str(number),
                )
                await exchange.publish(message, routing_key=MessageSubmitted.TYPE)
                reply = await anext(arriving)
                assert reply.correlation_id == str(number)
                replies.append(json.loads(reply.body))
        return replies
