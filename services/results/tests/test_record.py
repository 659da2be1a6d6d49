"""Merging partial scores: neither their order nor their repetition matters, and the ledger adds up."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.scoring import AiScored, AiStatus, Factor, ModelName, RuleScored
from leadline_results.runs.record import Key, PartMessage, Record, Status, conclude, gather, merge
from leadline_scoring.models import load_model

from .builders import START, ai_answer, by_ai, by_rules, chunk, rule_answer

RUN = "0195f3a0-0000-7000-8000-000000000001"
LEADS = chunk("lead", run_id=RUN)
FAILURES = ("model overloaded", "timed_out")


@dataclass(frozen=True)
class Story:
    """All that is ever said of one lead: per layer at most one success, any failures."""

    known: bool
    model: ModelName
    rules: tuple[RuleScored, ...]
    ai: tuple[AiScored, ...]

    def messages(self) -> list[PartMessage]:
        """The story as messages, in the order in which it is thought of."""
        leads = LEADS.model_copy(update={"model": self.model})
        said: list[PartMessage] = [leads] if self.known else []
        said += [by_rules(leads).model_copy(update={"scores": [answer]}) for answer in self.rules]
        said += [by_ai(leads).model_copy(update={"scores": [answer]}) for answer in self.ai]
        return said


@st.composite
def rule_successes(draw: st.DrawFn) -> RuleScored:
    """Points of up to three factors, 50 at most."""
    parts = draw(st.lists(st.integers(0, 16), max_size=3))
    factors = [Factor(layer="rules", factor="f", points=part, max=20, evidence="e") for part in parts]
    return RuleScored(lead_id="lead", points=sum(parts), factors=factors)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any story."""
    rule_failures = draw(st.lists(st.sampled_from(FAILURES), max_size=2, unique=True))
    ai_failures = draw(st.lists(st.sampled_from(FAILURES), max_size=2, unique=True))
    unanswered: st.SearchStrategy[AiStatus] = st.sampled_from(["failed", "skipped_budget"])
    judged = ai_answer(
        "lead",
        draw(st.sampled_from(["High", "Medium", "Low"])),
        status=draw(st.sampled_from(["answered", "fallback"])),
    )
    judged = judged.model_copy(update={"confidence": draw(st.floats(0, 1))})
    return Story(
        known=draw(st.booleans()),
        model=draw(st.sampled_from(["standard", "graded"])),
        rules=(
            *(rule_answer("lead", error=error) for error in rule_failures),
            *draw(st.lists(rule_successes(), max_size=1)),
        ),
        ai=(
            *(ai_answer("lead", error=error, status=draw(unanswered)) for error in ai_failures),
            *([judged] if draw(st.booleans()) else []),
        ),
    )


@st.composite
def told(draw: st.DrawFn, story: Story) -> list[list[PartMessage]]:
    """The story's messages, each once or more, in any order, in batches."""
    messages = story.messages()
    repeated = draw(st.lists(st.sampled_from(messages), max_size=4)) if messages else []
    order = draw(st.permutations([*messages, *repeated]))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)))) | {0, len(order)})
    return [order[start:end] for start, end in pairwise(cuts)]


def result_of(batches: list[list[PartMessage]]) -> Record | None:
    """Merge batch after batch, as the handler does."""
    record: Record | None = None
    for batch in batches:
        parts = gather(batch).get(Key(RUN, "lead"))
        if parts is not None:
            record = conclude(merge(record, parts), START)
    return record


@given(st.data())
def test_neither_order_nor_grouping_nor_repetition_matters(data: st.DataObject) -> None:
    """However the parts of a lead arrive, its result is the one they make when they come in order, once."""
    story = data.draw(stories())
    record, plain = result_of(data.draw(told(story))), result_of([[m] for m in story.messages()])
    # Which of several errors is kept depends on the order; nothing that counts may.
    left_out = {"rules", "ai"}
    assert (record and record.model_dump(exclude=left_out)) == (plain and plain.model_dump(exclude=left_out))
    assert (record and record.factors) == (plain and plain.factors)


@given(st.data())
def test_the_result_follows_from_the_successes_that_were_told(data: st.DataObject) -> None:
    """A success outweighs every failure of its layer; without one the lead is partial or failed."""
    story = data.draw(stories())
    record = result_of(data.draw(told(story)))
    points = next((answer for answer in story.rules if answer.error is None), None)
    judged = next((answer for answer in story.ai if answer.error is None), None)
    if record is None or not (story.known and story.rules and story.ai):
        assert record is None or (record.status, record.score) == (Status.PENDING, None)
    elif points is None:
        assert (record.status, record.score, record.intent) == (Status.FAILED, None, None)
        assert record.error in FAILURES
    elif judged is None:
        assert (record.status, record.score, record.intent) == (Status.PARTIAL, points.points, None)
        assert record.error in FAILURES
        assert record.ai in story.ai
    else:
        assert (record.status, record.rules, record.ai) == (Status.SCORED, points, judged)
        assert record.error is None


@given(st.data())
def test_factors_add_up_to_the_score(data: st.DataObject) -> None:
    """The ledger explains the whole score, which is 0..100, and the intent is the scoring model's."""
    record = result_of(data.draw(told(data.draw(stories()))))
    if record is None or record.score is None:
        assert record is None or record.factors == []
        return
    assert sum(factor.points for factor in record.factors) == record.score
    assert record.score == record.rule_points + record.ai_points
    assert 0 <= record.score <= 100
    if record.ai is not None and record.ai.intent is not None:
        assert record.intent == load_model(record.model).intent(record.ai.intent, record.score)


@given(stories())
def test_concluding_twice_changes_nothing(story: Story) -> None:
    """A result that is worked out again is the same result."""
    record = result_of([story.messages()])
    assert record is None or conclude(record, START) == record


@pytest.mark.parametrize("message", [LEADS, by_rules(LEADS), by_ai(LEADS), by_ai(LEADS, error="late")])
def test_merging_what_is_known_returns_the_record_itself(message: PartMessage) -> None:
    """A repeated part is seen to add nothing, so that it costs no write."""
    record = result_of([[LEADS, by_rules(LEADS), by_ai(LEADS)]])
    assert record is not None
    [parts] = gather([message]).values()
    assert merge(record, parts) is record


def test_a_record_can_begin_with_any_part() -> None:
    """The layers may be faster than the leads; what a record is of is in every message."""
    for message in (LEADS, by_rules(LEADS), by_ai(LEADS)):
        record = result_of([[message]])
        assert record is not None
        assert (record.owner, record.key, record.status) == (LOCAL_OWNER, Key(RUN, "lead"), Status.PENDING)
