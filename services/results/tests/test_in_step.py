"""Which messages go now, and which wait for others of their chunk."""

from collections.abc import Sequence

from leadline_common.broker.port import Message
from leadline_contracts.scoring import AiChunkScored, LeadsAccepted, RulesScored
from leadline_results.runs.chunk_join import InStep


def part(chunk: str, kind: str) -> Message:
    """A message of a chunk, named as the services name theirs."""
    return Message(type=kind, id=f"run:{chunk}:{kind}", body=b"")


def whole(chunk: str) -> list[Message]:
    """A chunk with both its scores."""
    return [part(chunk, kind) for kind in (LeadsAccepted.TYPE, RulesScored.TYPE, AiChunkScored.TYPE)]


def ripe(in_step: InStep, messages: Sequence[Message], *overdue: int) -> list[bool]:
    """What goes, where the messages at these places are overdue."""
    return in_step.ripe(messages, [place in overdue for place in range(len(messages))])


def test_a_chunk_goes_when_it_is_whole() -> None:
    """Leads wait for both scores, and a chunk that waits does not hold up another."""
    assert ripe(InStep(), [*whole("a"), *whole("b")[:2]]) == [True, True, True, False, False]


def test_an_overdue_chunk_goes_with_what_has_come_of_it() -> None:
    """The linger time of one part lets the whole chunk go, and no other chunk."""
    messages = [*whole("a")[:2], *whole("b")[:1]]
    assert ripe(InStep(), messages, 0) == [True, True, False]


def test_what_comes_after_a_chunk_went_does_not_wait() -> None:
    """A slow answer for leads that are stored already is merged at once."""
    in_step = InStep()
    leads, rules, ai = whole("a")
    in_step.went([leads, rules])
    assert ripe(in_step, [ai, *whole("b")[2:]]) == [True, False]
