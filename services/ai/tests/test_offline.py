"""The offline assessor: what it says and why."""

import pytest

from leadline_ai.leads.answers import Answer
from leadline_ai.leads.offline import assess_offline
from leadline_contracts.scoring import IcpSpec, Lead, ModelName, Offer

FOR_SAAS = 'SaaS is an industry "AI Outreach" is made for.'


def answer_to(offer: Offer, role: str, industry: str, model: ModelName = "standard") -> Answer:
    (answer,) = assess_offline(offer, model, [Lead(id="x", role=role, industry=industry)])
    return answer


@pytest.mark.parametrize(
    ("role", "industry", "intent", "reasoning"),
    [
        ("Head of Growth", "SaaS", "High", f"Head of Growth can sign for a purchase, and {FOR_SAAS}"),
        (
            "CEO",
            "Dairy",
            "Medium",
            'CEO can sign for a purchase, but Dairy is not an industry "AI Outreach" is made for.',
        ),
        (
            "Marketing Manager",
            "IT Services",
            "Medium",
            "Marketing Manager can shape a purchase, and IT Services is close to the industries "
            '"AI Outreach" is made for.',
        ),
        (
            "Executive Assistant to the CEO",
            "SaaS",
            "Low",
            f"Executive Assistant to the CEO neither signs for nor shapes a purchase, but {FOR_SAAS}",
        ),
        ("", "", "Low", "No role is given, and no industry is given."),
    ],
)
def test_label_and_reason_come_from_the_same_reading(
    offer: Offer, role: str, industry: str, intent: str, reasoning: str
) -> None:
    """The sentence names role, industry and offer, and agrees with the label."""
    answer = answer_to(offer, role, industry)

    assert (answer.intent, answer.reasoning) == (intent, reasoning)


def test_a_role_the_offer_names_is_given_as_the_reason(offer: Offer) -> None:
    """Where the offer's own ICP made the difference, the sentence does not claim that the title did."""
    offer = offer.model_copy(update={"icp": IcpSpec(roles=["baker"])})

    answer = answer_to(offer, "Baker", "SaaS")

    assert answer.intent == "High"
    assert answer.reasoning == f'Baker is a role "AI Outreach" is made for, and {FOR_SAAS}'


def test_an_offer_without_industries_is_said_to_have_none(offer: Offer) -> None:
    """A lead is not told that its industry does not fit where the offer named none."""
    offer = offer.model_copy(update={"ideal_use_cases": []})

    answer = answer_to(offer, "CEO", "SaaS")

    assert (
        answer.reasoning == 'CEO can sign for a purchase, but "AI Outreach" names no industry it is made for.'
    )


def test_the_scoring_model_of_the_run_decides(offer: Offer) -> None:
    """Each scoring model answers by its own table, as the label's points depend on the confidence."""
    standard = answer_to(offer, "CEO", "Dairy", "standard")
    graded = answer_to(offer, "CEO", "Dairy", "graded")

    assert (standard.intent, graded.intent) == ("Medium", "Medium")
    assert standard.confidence != graded.confidence
