"""Which messages are handled now, and which wait for others of their chunk."""

from collections.abc import Sequence

from leadline_common.broker.port import Message
from leadline_contracts.scoring import AiChunkScored, LeadsAccepted, RulesScored
from leadline_results.runs.chunk_join import ChunkJoin


def part(chunk: str, kind: str) -> Message:
    """A message of a chunk, named as the services name theirs."""
    return Message(type=kind, id=f"run:{chunk}:{kind}", body=b"")


def whole(chunk: str) -> list[Message]:
    """A chunk with both its scores."""
    return [part(chunk, kind) for kind in (LeadsAccepted.TYPE, RulesScored.TYPE, AiChunkScored.TYPE)]


def ready(join: ChunkJoin, messages: Sequence[Message], *overdue: int) -> list[bool]:
    """What is handled now, where the messages at these indexes are overdue."""
    return join.ready(messages, [index in overdue for index in range(len(messages))])


def test_a_chunk_is_handled_when_it_is_whole() -> None:
    """Leads wait for both scores, and a chunk that waits does not hold up another."""
    assert ready(ChunkJoin(), [*whole("a"), *whole("b")[:2]]) == [True, True, True, False, False]


def test_an_overdue_chunk_is_handled_as_far_as_it_has_come() -> None:
    """The linger time of one part lets the whole chunk go, and no other chunk."""
    messages = [*whole("a")[:2], *whole("b")[:1]]
    assert ready(ChunkJoin(), messages, 0) == [True, True, False]


def test_what_comes_for_a_chunk_that_was_handled_incomplete_does_not_wait() -> None:
    """A slow answer for leads that are stored already is merged at once."""
    join = ChunkJoin()
    leads, rules, ai = whole("a")
    join.note_handled([leads, rules])
    assert ready(join, [ai, *whole("b")[2:]]) == [True, False]
