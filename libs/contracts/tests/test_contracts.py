"""The contracts: what survives the way, what a newer producer may add, and how a wrong body is refused."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from leadline_contracts import inbound as w
from leadline_contracts import scoring as m
from leadline_contracts.envelope import Contract, Wire
from leadline_contracts.errors import Permanent
from leadline_contracts.topology import LEADLINE
from leadline_testing.tables import every_row

REF: dict[str, Any] = {"owner": "local", "run_id": "r", "chunk": "0", "offer_id": "o", "model": "standard"}
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
OFFER = m.Offer(id="o", name="Outreach", value_props=["fast"], icp=m.IcpSpec(roles=["CTO"]))
EXAMPLES: list[Contract] = [
    m.LeadsRejected(
        owner="local",
        message_id="x",
        accepted=1,
        rejected=[m.RejectedLead(index=3, field="role", reason="not a text")],
    ),
    m.LeadsAccepted(
        **REF,
        upload_id="u",
        offer=OFFER,
        leads=[m.Lead(id="1", name="Zoë \x00 \U0001f600")],
        refresh=True,
    ),
    m.RulesScored(
        **REF,
        model_version="standard-1",
        scores=[
            m.RuleScored(
                lead_id="1",
                points=20,
                factors=[m.Factor(layer="rules", factor="role", points=20, max=20, evidence="CTO")],
            ),
            m.RuleScored(lead_id="2", error="unreadable"),
        ],
    ),
    m.AiChunkScored(
        **REF,
        scores=[
            m.AiScored(
                lead_id="1",
                status="answered",
                intent="High",
                confidence=0.9,
                source="offline",
                assessor="offline-1",
                prompt="1",
            ),
            m.AiScored(
                lead_id="2",
                status="skipped_budget",
                source="anthropic",
                assessor="claude",
                prompt="1",
                error="the budget is spent",
            ),
        ],
        spend=m.AiSpend(source="anthropic", assessor="claude", calls=2, nano_usd=5_000_000_000),
    ),
    m.RunStarted(owner="local", run_id="r", offer=OFFER, model="graded", refresh=True),
    m.RunPublished(owner="local", run_id="r", offer_id="o", model="graded", total=0),
    m.RunProgressed(owner="local", run_id="r", scored=1, failed=0),
    m.RunFinished(owner="local", run_id="r", total=1, scored=1, failed=0, started_at=NOW, finished_at=NOW),
    m.LeadsFailed(
        owner="local",
        run_id="r",
        offer_id="o",
        model="standard",
        leads=[m.FailedLead(lead_id="1", error="timed_out")],
    ),
    m.ResultsScored(
        owner="local",
        run_id="r",
        offer_id="o",
        results=[m.ResultScored(lead_id="1", rule_score=20, ai_points=0, status="partial")],
    ),
]
by_type = pytest.mark.parametrize("contract", EXAMPLES, ids=lambda contract: contract.TYPE)


@by_type
def test_a_message_arrives_as_it_was_sent(contract: Contract) -> None:
    """Encoding and decoding give back an equal message."""
    assert type(contract).decode(contract.encode()) == contract


@by_type
def test_unknown_fields_are_ignored(contract: Contract) -> None:
    """An older consumer reads what a newer producer sends, with fields it does not know."""
    body = json.loads(contract.encode()) | {"added_later": {"a": [1]}}
    assert type(contract).decode(json.dumps(body).encode()) == contract


@by_type
@every_row("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"owner": "\\ud800"}', b"[" * 100_000])
def test_a_wrong_body_is_refused_for_good(contract: Contract, body: bytes) -> None:
    """What can never be read is Permanent, in one line that names the type."""
    with pytest.raises(Permanent) as raised:
        type(contract).decode(body)
    assert str(raised.value).startswith(f"{contract.TYPE}: ")
    assert "\n" not in str(raised.value)


def test_a_refusal_names_the_field_and_not_its_value() -> None:
    """The reason goes into logs and headers, where what a lead says must not stand."""
    body = json.loads(EXAMPLES[1].encode())
    body["leads"] = [{"id": "1"}, {"id": "2", "name": ["John Smith"]}, {"name": 5}]
    with pytest.raises(Permanent) as raised:
        m.LeadsAccepted.decode(json.dumps(body).encode())
    assert str(raised.value) == (
        "leads.accepted.v1: leads.1.name: Input should be a valid string (and 2 more)"
    )


@given(name=st.text(), bio=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_of_a_lead_survives(name: str, bio: str) -> None:
    """Cell text is kept as it is: quotes, control characters, any script."""
    lead = m.Lead(id="1", name=name, linkedin_bio=bio)
    contract = m.LeadsAccepted(**REF, upload_id="u", offer=OFFER, leads=[lead])
    assert m.LeadsAccepted.decode(contract.encode()).leads == [lead]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("fast, cheap", ["fast", "cheap"]),
        (" fast ,, cheap,", ["fast", "cheap"]),
        ("", []),
        ([], []),
        (["a, b", " c "], ["a, b", "c"]),
    ],
)
def test_phrases_come_as_a_list_or_as_one_string(sent: object, read: list[str]) -> None:
    """Some clients send one comma-separated string; commas inside a list's items stay."""
    assert m.OfferSpec.model_validate({"name": "x", "ideal_use_cases": sent}).ideal_use_cases == read


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "  "},
        {"name": "x" * 501},
        {"name": "x", "value_props": ["y"] * 51},
        {"name": "x", "value_props": [""]},
        {"name": "x", "icp": {"industries": "y" * 501}},
    ],
)
def test_an_offer_is_bounded(fields: dict[str, object]) -> None:
    """A name is needed, and neither texts nor lists may grow without end."""
    with pytest.raises(ValidationError):
        m.OfferSpec.model_validate(fields)


@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, True), (500, True), (501, False)])
def test_a_submission_holds_1_to_500_leads(count: int, fits: bool) -> None:
    """The public contract's bounds; the leads themselves are read one by one later."""
    fields = {"leads": [3] * count}
    if fits:
        assert len(m.LeadsSubmitted.model_validate(fields).leads) == count
    else:
        with pytest.raises(ValidationError):
            m.LeadsSubmitted.model_validate(fields)


def test_an_ai_answer_says_how_it_came_about() -> None:
    """It is stated in one of the four ways, never assumed, so that no failure looks like an answer."""
    answer = {"lead_id": "1", "source": "offline", "assessor": "offline-1", "prompt": "1"}
    for status in get_args(m.AiStatus):
        assert m.AiScored.model_validate({**answer, "status": status}).status == status
    for wrong in ({}, {"status": None}, {"status": "skipped"}):
        with pytest.raises(ValidationError):
            m.AiScored.model_validate({**answer, **wrong})


def test_messages_do_not_change_under_their_readers() -> None:
    """A message that several handlers share is immutable."""
    with pytest.raises(ValidationError):
        OFFER.name = "another"


def test_every_type_is_routed_or_public() -> None:
    """Each contract between services has a queue; the events for others have none that must exist."""
    public: set[type[Contract]] = {m.LeadsRejected, m.ResultsScored, w.MessageReceived, w.WorkflowEnded}
    types: dict[str, Any] = {
        member.TYPE: member
        for member in (*vars(m).values(), *vars(w).values())
        if isinstance(member, type) and issubclass(member, Wire) and hasattr(member, "TYPE")
    }
    internal = {kind for kind, contract in types.items() if contract not in public}
    assert internal == LEADLINE.routed_types
    assert all(LEADLINE.queues_for(kind) for kind in internal)
    assert not any(LEADLINE.queues_for(contract.TYPE) for contract in public)
