"""The rule layer: up to 50 points for a lead's role, industry and completeness, each with its evidence.

Pure: the same model, ICP and lead give the same points. A field that is blank, or says
that there is nothing as "N/A" does, is a missing field.
"""

from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Protocol

from leadline_contracts.scoring import Factor
from leadline_scoring.evidence import excerpt
from leadline_scoring.icp import Icp, read_role, wanted_role
from leadline_scoring.industries import match_industry
from leadline_scoring.models import FitPoints, ScoringModel, SeniorityPoints, TitleKeywordPoints
from leadline_scoring.titles import Seniority, title_words
from leadline_text.placeholders import is_missing
from leadline_text.tokens import read_text
from leadline_text.visible import visible

_READ = 300
"""Characters of a title or an industry that are read, and that a cache entry is known by."""


class LeadLike(Protocol):
    """The fields of a lead that the rules read; any text may be blank, none is trusted."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def company(self) -> str: ...
    @property
    def industry(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def linkedin_bio(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RuleScore:
    """Points (0..50) and the factors that add up to them: role, industry, completeness."""

    points: int
    factors: list[Factor]


def score_lead(model: ScoringModel, icp: Icp, lead: LeadLike) -> RuleScore:
    """Scores one lead by the rules of `model`; never raises, whatever the lead's text."""
    factors = [
        _role(model, icp, lead.role[:_READ]),
        _industry(model, icp, lead.industry[:_READ]),
        _completeness(model, lead),
    ]
    return RuleScore(sum(factor.points for factor in factors), factors)


@lru_cache(maxsize=32_768)
def _role(model: ScoringModel, icp: Icp, role: str) -> Factor:
    reading = read_role(icp, role)
    points, evidence = 0, reading.evidence
    if isinstance(model.role, SeniorityPoints):
        points = model.role.of(reading.seniority)
    elif wanted_role(icp, role):
        points = model.role.max
    elif best := _best_keyword(model.role, role):
        points, evidence = best
    elif reading.seniority is not Seniority.OTHER:
        evidence = f"{excerpt(role)}: no keyword of the model {model.name}"
    return _factor("role", points, model.role.max, evidence)


def _best_keyword(table: TitleKeywordPoints, role: str) -> tuple[int, str] | None:
    words = title_words(role)
    best = (0, "")
    for hit in table.table.find([word.word for word in words]):
        own = words[hit.start : hit.stop]
        points = min(table.under(word.ceiling, hit.value) for word in own)
        best = max(
            best, (points, f'{excerpt(role)}: "{" ".join(word.word for word in own)}"'), key=itemgetter(0)
        )
    return best if best[0] else None


@lru_cache(maxsize=32_768)
def _industry(model: ScoringModel, icp: Icp, industry: str) -> Factor:
    if isinstance(model.industry, FitPoints):
        match = match_industry(icp, industry)
        return _factor("industry", model.industry.of(match.fit), model.industry.max, match.evidence)
    text = read_text(industry)
    hits = model.industry.table.find(text.words)
    if not hits:
        missing = f"{excerpt(industry)}: no keyword of the model {model.name}"
        return _factor(
            "industry", 0, model.industry.max, "no industry given" if is_missing(industry) else missing
        )
    best = max(hits, key=attrgetter("value"))
    evidence = f'{excerpt(industry)}: "{text.quote(best.start, best.stop)}"'
    return _factor("industry", best.value, model.industry.max, evidence)


def _completeness(model: ScoringModel, lead: LeadLike) -> Factor:
    rule = model.completeness
    missing = [_missing(field, text) for field in rule.fields if is_missing(text := _text(lead, field))]
    total = len(rule.fields)
    evidence = f"{total - len(missing)} of {total} fields, missing: {', '.join(missing)}"
    points = rule.of(total - len(missing))
    return _factor(
        "completeness", points, rule.points, evidence if missing else f"all {total} fields are there"
    )


def _missing(field: str, text: str) -> str:
    """Name a field that says nothing, with what stands there in place of something."""
    seen = visible(text).strip()
    return f'{field} ("{excerpt(seen)}")' if seen else field


def _text(lead: LeadLike, field: str) -> str:
    text: str = getattr(lead, field)
    return text


def _factor(factor: str, points: int, most: int, evidence: str) -> Factor:
    return Factor(layer="rules", factor=factor, points=points, max=most, evidence=evidence)
