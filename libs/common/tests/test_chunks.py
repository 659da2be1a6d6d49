"""How chunks are named and broken up."""

import pytest

from leadline_common.broker.chunks import bisect_chunk, chunk_message, cut, message_of
from leadline_common.broker.port import Message
from leadline_contracts.scoring import CHUNK_BYTES, CHUNK_SIZE, Lead, LeadsAccepted, Offer, RunPublished


def chunk_of(size: int) -> LeadsAccepted:
    return LeadsAccepted(
        owner="local",
        run_id="run",
        chunk="3",
        offer_id="offer",
        model="graded",
        upload_id="upload",
        offer=Offer(id="offer", name="An offer"),
        leads=[Lead(id=f"lead{number}", role="CTO") for number in range(size)],
    )


def split_fully(message: Message) -> list[Message]:
    parts = bisect_chunk(message)
    return [leaf for part in parts for leaf in split_fully(part)] if parts else [message]


def test_a_contract_becomes_a_message_of_its_type() -> None:
    """Type, id and body are those of the contract."""
    event = RunPublished(owner="local", run_id="run", offer_id="offer", model="standard", total=0)
    message = message_of(event, "run:published")
    assert (message.type, message.id) == ("runs.published.v1", "run:published")
    assert RunPublished.decode(message.body) == event


def test_a_chunk_has_the_same_id_whenever_it_is_published() -> None:
    """A publisher that resumes sends identical messages, and results knows chunk and kind by the id."""
    assert chunk_message(chunk_of(2)) == chunk_message(chunk_of(2))
    assert chunk_message(chunk_of(2)).id == "run:3:leads.accepted.v1"


def test_halves_hold_every_lead_once_in_order() -> None:
    """A split loses and doubles no lead and keeps all else of the chunk."""
    whole = chunk_of(5)
    first, second = (LeadsAccepted.decode(part.body) for part in bisect_chunk(chunk_message(whole)))
    assert (len(first.leads), len(second.leads)) == (2, 3)
    assert [*first.leads, *second.leads] == whole.leads
    for half in (first, second):
        assert half.model_copy(update={"chunk": whole.chunk, "leads": whole.leads}) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 25, 50])
def test_splitting_ends_with_single_leads_of_distinct_ids(size: int) -> None:
    """However a chunk is broken up, no two of its parts are taken for the same message."""
    leaves = split_fully(chunk_message(chunk_of(size)))
    leads = [lead.id for leaf in leaves for lead in LeadsAccepted.decode(leaf.body).leads]
    assert leads == [f"lead{number}" for number in range(size)]
    assert len({leaf.id for leaf in leaves}) == size


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", chunk_of(0).encode(), chunk_of(1).encode()])
def test_what_cannot_be_halved_is_left_whole(body: bytes) -> None:
    """A single lead, none, and what cannot be read have no parts."""
    assert bisect_chunk(Message(type=LeadsAccepted.TYPE, id="x", body=body)) == []


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([], []),
        ([1], [1]),
        ([1] * 120, [CHUNK_SIZE, CHUNK_SIZE, 20]),
        ([CHUNK_BYTES // 2] * 5, [2, 2, 1]),
        ([1, CHUNK_BYTES, 1, 1], [1, 1, 2]),
        ([1, 9 * CHUNK_BYTES, 9 * CHUNK_BYTES, 1], [1, 1, 1, 1]),
    ],
)
def test_a_chunk_is_bounded_in_leads_and_bytes(sizes: list[int], lengths: list[int]) -> None:
    """No message grows past its bounds, nothing is lost or reordered, and a huge lead is alone."""
    items = list(enumerate(sizes))
    chunks = list(cut(items))
    assert [len(chunk) for chunk in chunks] == lengths
    assert [number for chunk in chunks for number in chunk] == list(range(len(sizes)))
