"""The offline assessor, without network: the scoring model's own table, read from title and industry."""

from collections.abc import Sequence
from typing import NamedTuple

from leadline_ai.leads.answers import Answer
from leadline_ai.prompt_text import one_line
from leadline_contracts.scoring import Lead, ModelName, Offer
from leadline_scoring.evidence import excerpt
from leadline_scoring.icp import Icp, read_icp, read_role
from leadline_scoring.industries import IndustryFit, match_industry
from leadline_scoring.judge import judge
from leadline_scoring.models import load_model
from leadline_scoring.titles import Seniority, read_title
from leadline_text.placeholders import is_missing


class _About(NamedTuple):
    source: str
    assessor: str
    prompt: str


OFFLINE = _About("offline", "offline", "offline.v1")
"""How the offline assessor's answers are marked."""


def assess_offline(offer: Offer, model: ModelName, leads: Sequence[Lead]) -> list[Answer]:
    """Answer for each lead in order: the same for the same lead, offer and scoring model, at once, always."""
    scoring, icp = load_model(model), _icp_of(offer)
    answers = []
    for lead in leads:
        judgement = judge(scoring, icp, lead.role, lead.industry)
        reasoning = _reasoning(offer.name, icp, lead)
        answers.append(Answer(lead.id, judgement.label, judgement.confidence, reasoning))
    return answers


def _icp_of(offer: Offer) -> Icp:
    icp = offer.icp
    return read_icp(offer.ideal_use_cases, icp.industries, icp.roles)


def _reasoning(offer_name: str, icp: Icp, lead: Lead) -> str:
    """One sentence: what the role can do in a purchase, and how the industry fits the offer."""
    offer = f'"{excerpt(offer_name)}"'
    seniority = read_role(icp, lead.role).seniority
    fit = match_industry(icp, lead.industry).fit
    agree = (seniority is Seniority.OTHER) == (fit is IndustryFit.NONE)
    role, industry = (
        _about_role(offer, icp, lead.role, seniority),
        _about_industry(offer, icp, lead.industry, fit),
    )
    return one_line(f"{role}, {'and' if agree else 'but'} {industry}.")


def _about_role(offer: str, icp: Icp, role: str, seniority: Seniority) -> str:
    title = "" if is_missing(role) else excerpt(role)
    match seniority:
        case Seniority.OTHER:
            return f"{title} neither signs for nor shapes a purchase" if title else "No role is given"
        case Seniority.INFLUENCER:
            return f"{title} can shape a purchase"
        case Seniority.DECISION_MAKER:
            by_title = not icp.roles or read_title(role).seniority is Seniority.DECISION_MAKER
            return (
                f"{title} can sign for a purchase" if by_title else f"{title} is a role {offer} is made for"
            )


def _about_industry(offer: str, icp: Icp, industry: str, fit: IndustryFit) -> str:
    field = "" if is_missing(industry) else excerpt(industry)
    match fit:
        case IndustryFit.EXACT:
            return f"{field} is an industry {offer} is made for"
        case IndustryFit.ADJACENT:
            return f"{field} is close to the industries {offer} is made for"
        case IndustryFit.NONE if not field:
            return "no industry is given"
        case IndustryFit.NONE if not icp.industries:
            return f"{offer} names no industry it is made for"
        case IndustryFit.NONE:
            return f"{field} is not an industry {offer} is made for"
