"""POST /leads, as clients use it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from leadline_common.ids import age_of
from leadline_contracts.inbound import MAX_MESSAGE, MessageAccepted
from leadline_contracts.topology import RESULT_MESSAGES
from leadline_testing.tables import every_row

from .builders import CLOSED, JSON, TOKENS, House, drained, house

MESSAGE = {"contact_channel": "webchat", "message": "Do you clean windows on the third floor?"}
KNOWN = {**MESSAGE, "external_message_id": "chat-1"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


@pytest.fixture
async def client(service: House) -> AsyncIterator[AsyncClient]:
    async with client_of(service) as client:
        yield client


def client_of(service: House, user_id: str | None = None) -> AsyncClient:
    """A client that sends a token of the user, or none."""
    token = user_id and TOKENS.sign(user_id, datetime.now(UTC), timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(service.app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


async def submitted(client: AsyncClient, **changes: object) -> str:
    """Send a message and return the id of its workflow."""
    answer = await client.post("/leads", json={**MESSAGE, **changes})
    assert answer.status_code == 202
    return str(answer.json()["id"])


async def accepted(service: House) -> list[MessageAccepted]:
    """What waits for the results service."""
    return [MessageAccepted.decode(one.body) for one in await drained(service.broker, RESULT_MESSAGES)]


def assert_problem(answer: Response, status: int) -> Any:
    """An RFC 9457 problem; returns it."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == status
    return answer.json()


async def test_a_message_is_answered_before_any_work_on_it(service: House, client: AsyncClient) -> None:
    """The caller gets the id of a workflow that is certain to begin, and where to read it."""
    answer = await client.post("/leads", json={**MESSAGE, "name": "Ada"})
    workflow_id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (202, {"id": workflow_id, "status": "pending"})
    assert answer.headers["location"] == f"/leads/{workflow_id}"
    now = datetime.now(UTC)
    assert 0 <= age_of(workflow_id, now) < 10
    [message] = await accepted(service)
    assert (message.owner, message.workflow_id) == ("local", workflow_id)
    assert message.input.model_dump() == {"name": "Ada", "external_message_id": None, **MESSAGE}
    assert timedelta(0) <= now - message.received_at < timedelta(seconds=10)


@pytest.mark.parametrize(
    "text",
    [
        "  Hello,\r\n\tis anybody there? \n",
        "cafe\u0301 \u00e9 \u202esdrawkcab\u202c \U0001f9f9\u200d \u0000 end",
        "窓" * MAX_MESSAGE,
        "\U0001f9f9" * MAX_MESSAGE,
    ],
)
async def test_the_input_is_kept_as_it_came(service: House, client: AsyncClient, text: str) -> None:
    """Neither white space nor Unicode form nor length changes on the way, first time or second."""
    written = {"name": " Ada ", "external_message_id": " x\u001f "}
    for _ in range(2):
        await submitted(client, message=text, **written)
    for message in await accepted(service):
        assert message.input.model_dump() == {**MESSAGE, **written, "message": text}


async def test_a_channel_may_be_written_in_any_case(service: House, client: AsyncClient) -> None:
    """WhatsApp writes itself so, and is the same channel to whatever comes after."""
    await submitted(client, contact_channel="WhatsApp")
    [message] = await accepted(service)
    assert message.input.contact_channel == "whatsapp"


async def test_a_message_sent_again_gets_the_first_answer(service: House, client: AsyncClient) -> None:
    """A webhook that is delivered twice begins one workflow, of the text that came first."""
    first = await client.post("/leads", json=KNOWN)
    again = await client.post("/leads", json={**KNOWN, "message": "Something else", "name": "Bo"})
    assert (again.status_code, again.json(), again.headers["location"]) == (
        *(202, first.json(), first.headers["location"]),
    )
    sent = await drained(service.broker, RESULT_MESSAGES)
    assert len(sent) == 2
    assert (sent[0].id, sent[0].body) == (sent[1].id, sent[1].body)
    assert MessageAccepted.decode(sent[0].body).input.message == MESSAGE["message"]


async def test_many_at_once_get_one_answer(service: House, client: AsyncClient) -> None:
    """Redeliveries that overtake each other agree."""
    ids = await asyncio.gather(
        *(submitted(client, external_message_id="chat-1", message=f"Hello {n}") for n in range(30))
    )
    assert len(set(ids)) == 1
    assert len({message.input.message for message in await accepted(service)}) == 1


async def test_what_is_not_the_same_message_is_another_workflow(client: AsyncClient) -> None:
    """Only channel and id together name a message; without an id even the same text is a new one."""
    bodies: list[dict[str, object]] = [
        {},
        {},
        {"external_message_id": None},
        {"external_message_id": "1"},
        {"external_message_id": "1 "},
        {"external_message_id": "1", "contact_channel": "email"},
    ]
    ids = [await submitted(client, **body) for body in bodies]
    assert len(set(ids)) == len(bodies)


async def test_users_do_not_share_ids_of_messages(tmp_path: Path) -> None:
    """Another owner's message of the same id neither answers mine nor is revealed."""
    async with (
        house(tmp_path, CLOSED) as closed,
        client_of(closed, "ann") as ann,
        client_of(closed, "bob") as bob,
        client_of(closed) as nobody,
    ):
        ids = [await submitted(client, **KNOWN) for client in (ann, bob, ann)]
        assert (ids[0] == ids[2], ids[0] == ids[1]) == (True, False)
        assert [message.owner for message in await accepted(closed)] == ["ann", "bob", "ann"]
        assert_problem(await nobody.post("/leads", json=MESSAGE), 401)
        assert await accepted(closed) == []


async def test_a_message_without_an_id_needs_no_store(service: House, client: AsyncClient) -> None:
    """The quick way: nothing is stored for what cannot be recognised, and only that waits for the store."""
    await service.store.close()
    await submitted(client)
    assert_problem(await client.post("/leads", json=KNOWN), 503)
    assert len(await accepted(service)) == 1


async def test_without_a_broker_the_sender_is_told_to_come_again(
    service: House, client: AsyncClient, tmp_path: Path
) -> None:
    """Nothing is answered 202 that is not durable; sent again, the text of the first try counts."""
    await service.broker.close()
    for body in (MESSAGE, KNOWN):
        answer = await client.post("/leads", json=body)
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]
    async with house(tmp_path) as restarted, client_of(restarted) as later:
        workflow_id = await submitted(later, **{**KNOWN, "message": "Are you there?"})
        [message] = await accepted(restarted)
        assert (message.workflow_id, message.input.message) == (workflow_id, MESSAGE["message"])


@every_row(
    ("body", "fields"),
    [
        ({}, ["contact_channel", "message"]),
        ({**MESSAGE, "contact_channel": "sms"}, ["contact_channel"]),
        ({**MESSAGE, "message": ""}, ["message"]),
        ({**MESSAGE, "message": " \n\t\u00a0\u3000"}, ["message"]),
        ({**MESSAGE, "message": None}, ["message"]),
        ({**MESSAGE, "message": ["Hello"]}, ["message"]),
        ({**MESSAGE, "message": "x" * (MAX_MESSAGE + 1)}, ["message"]),
        ({**MESSAGE, "name": 5}, ["name"]),
        ({**MESSAGE, "name": "x" * 501}, ["name"]),
        ({**MESSAGE, "external_message_id": 5}, ["external_message_id"]),
        ({**MESSAGE, "external_message_id": ""}, ["external_message_id"]),
        ({**MESSAGE, "external_message_id": "x" * 201}, ["external_message_id"]),
        ({**MESSAGE, "externalMessageId": "1"}, ["externalMessageId"]),
        ([MESSAGE], ["body"]),
        (None, ["body"]),
        ({"contact_channel": "email", "message": "Hi", "owner": "bob"}, ["owner"]),
    ],
)
async def test_a_wrong_field_is_named(
    service: House, client: AsyncClient, body: object, fields: list[str]
) -> None:
    """The caller learns every field to correct, and nothing of what is wrong goes on."""
    problem = assert_problem(await client.post("/leads", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(error["message"] for error in problem["errors"])
    assert await accepted(service) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"contact_channel=email&message=Hello", 400),
        (b'{"contact_channel": "email", "message": "\\ud800"}', 400),
        (b'{"contact_channel": "email", "message": "\xff"}', 400),
        (json.dumps({**MESSAGE, "message": "x" * 1_000_000}).encode(), 413),
    ],
)
async def test_what_cannot_be_read_is_refused(client: AsyncClient, body: bytes, status: int) -> None:
    """A broken or boundless body is the caller's to correct."""
    assert_problem(await client.post("/leads", content=body, headers=JSON), status)


@pytest.mark.parametrize("path", ["/leads/", "/api/leads", "/api/leads/"])
async def test_the_usual_aliases_work(client: AsyncClient, path: str) -> None:
    """One family of clients calls /api/…/."""
    assert (await client.post(path, json=MESSAGE)).status_code == 202


async def test_the_schema_documents_the_route(client: AsyncClient) -> None:
    """A client generated from it sends the right body and expects the right answer."""
    schema = (await client.get("/schema/openapi.json")).json()
    operation, schemas = schema["paths"]["/leads"]["post"], schema["components"]["schemas"]
    answer = operation["responses"]["202"]
    assert {status for status in operation["responses"] if status.startswith("2")} == {"202"}
    assert "Location" in answer["headers"]
    [body] = [name for name in schemas if name.endswith("MessageRequest")]
    assert set(schemas[body]["required"]) == {"contact_channel", "message"}
    assert schemas[body]["properties"]["message"]["maxLength"] == MAX_MESSAGE
    [taken] = [name for name in schemas if name.endswith("MessageTaken")]
    assert set(schemas[taken]["properties"]) == {"id", "status"}
